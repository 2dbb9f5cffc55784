#!/bin/sh
# Announces an upload: publish.sh BROKERS TOPIC PREVIEW_ID EXTENSION
set -eu
key=$(echo "$3" | tr A-Z a-z)
id=$(cat /proc/sys/kernel/random/uuid) # a retry keeps it
# murmur2_random: the partitions that other clients choose. Without it a preview's records lose their order.
printf '{"preview_file_id": "%s", "extension": "%s", "uploaded_at": "%s", "encoding": {"fps": "23.976"}}' \
  "$key" "$4" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" |
  kcat -P -b "$1" -t "$2" -k "$key" \
    -X enable.idempotence=true -X acks=all -X topic.partitioner=murmur2_random \
    -H content-type=application/json -H ce_specversion=1.0 -H "ce_id=$id" \
    -H ce_source=/studio/uploads -H ce_type=rushes.preview-uploaded.v1
echo "$id"
