{{/*
Every alert: what it looks for, and what it says. `for` and severity come from the values.
Takes: the root. As YAML by name: expr, for (if the values have none), summary, description.
*/}}
{{- define "rushes.alerts" -}}
{{- $rules := .Values.alerts.rules -}}
{{- $here := printf "namespace=%q" .Release.Namespace -}}
{{- $jobs := printf "%s,component=~\"worker|syncer\"" $here -}}
{{- $dead := printf "rushes_dead_letters_total{%s}" $here -}}
{{- $drain := include "rushes.effective" (dict "root" . "name" "DRAIN_BUDGET") | float64 -}}
OutboxStalled:
  expr: |-
    max by (component) (rushes_outbox_oldest_seconds{ {{- $here -}} }) > {{ include "rushes.text" $rules.OutboxStalled.threshold }}
  summary: >-
    The oldest status that is not sent has waited {{ `{{ $value | humanizeDuration }}` }} ({{ `{{ $labels.component }}` }})
  description: >-
    Statuses are written but do not reach Kafka. Is Kafka there, and does a relay run?
ConsumerDelay:
  expr: |-
    histogram_quantile(0.99, sum by (component, topic, le) (rate(rushes_record_delay_seconds_bucket{ {{- $here -}} }[10m])))
      > {{ include "rushes.text" $rules.ConsumerDelay.threshold }}
  summary: >-
    Events of {{ `{{ $labels.topic }}` }} are taken in {{ `{{ $value | humanizeDuration }}` }} late
  description: >-
    Intake does not keep up, or was away.
ConsumerStuck:
  expr: |-
    time() - max by (component, site, topic) (rushes_last_poll_timestamp_seconds{ {{- $here -}} })
      > {{ include "rushes.text" $rules.ConsumerStuck.threshold }}
  summary: >-
    Nobody has polled {{ `{{ $labels.topic }}` }} for {{ `{{ $value | humanizeDuration }}` }}
  description: >-
    Intake is held by a database that is away, or hangs.
RebalanceStorm:
  expr: |-
    max by (component, group) (increase(rushes_rebalances_total{ {{- $here -}} }[15m]))
      > {{ include "rushes.text" $rules.RebalanceStorm.threshold }}
  summary: >-
    Partitions of {{ `{{ $labels.group }}` }} were given out {{ `{{ $value | humanize }}` }} times in 15 minutes
  description: >-
    Members of the consumer group come and go. Are pods restarted?
CommitFailures:
  expr: |-
    sum by (component, group) (increase(rushes_commit_failures_total{ {{- $here -}} }[15m]))
      > {{ include "rushes.text" $rules.CommitFailures.threshold }}
  summary: >-
    Kafka refused {{ `{{ $value | humanize }}` }} commits of {{ `{{ $labels.group }}` }} in 15 minutes
  description: >-
    The same events are taken in again and recognised; nothing is lost, but Kafka or the network is unwell.
DeadLetters:
  expr: |-
    # A series is born with its first record, which `increase` does not see.
    sum by (topic, reason) (increase({{ $dead }}[1h])) > {{ include "rushes.text" $rules.DeadLetters.threshold }}
      or sum by (topic, reason) ({{ $dead }} unless {{ $dead }} offset 1h) > {{ include "rushes.text" $rules.DeadLetters.threshold }}
  summary: >-
    {{ `{{ $value | humanize }}` }} records of {{ `{{ $labels.topic }}` }} could not be taken in ({{ `{{ $labels.reason }}` }})
  description: >-
    A publisher sends what is no event of ours. `rushes-normalizer dead-letters list` shows them.
FilesMissing:
  expr: |-
    sum(increase(rushes_attempts_total{ {{- $here -}} ,component="worker",code="source_missing"}[1h]))
      > {{ include "rushes.text" $rules.FilesMissing.threshold }}
  summary: >-
    {{ `{{ $value | humanize }}` }} looks in an hour did not find their source
  description: >-
    Uploads are announced that are not in the store. Artists see them as broken.
NoWorkers:
  expr: |-
    sum(max by (lane) (rushes_tasks{ {{- $here -}} ,component="control",state="queued"})) > {{ include "rushes.text" $rules.NoWorkers.threshold }}
      unless sum(rushes_slots{ {{- $here -}} ,component="worker"}) > 0
  summary: >-
    {{ `{{ $value | humanize }}` }} jobs wait, and no worker is there
  description: >-
    Every pool is at zero, or its pods do not start.
ScratchLow:
  expr: |-
    min by (component, pool, site, pod) (rushes_scratch_free_bytes{ {{- $jobs -}} }) < {{ include "rushes.text" $rules.ScratchLow.threshold }}
  summary: >-
    {{ `{{ $labels.pod }}` }} has {{ `{{ $value | humanize1024 }}` }}B of scratch left
  description: >-
    Jobs that run out of room are tried again elsewhere, and end as broken (out_of_disk) at last.
DrainExceeded:
  expr: |-
    max by (component, pool, site, pod) (rushes_draining{ {{- $jobs -}} }) == 1
  for: {{ add (ceil $drain | int64) (int64 $rules.DrainExceeded.threshold) }}s
  summary: >-
    {{ `{{ $labels.pod }}` }} shuts down for longer than its {{ include "rushes.text" $drain }} seconds
  description: >-
    Jobs that run were not handed back. After the grace period the pod is killed, and they wait for their lease.
SandboxIncomplete:
  expr: |-
    min by (pool, mechanism) (rushes_sandbox_enforced{ {{- $here -}} ,component="worker"}) == 0
  summary: >-
    ffmpeg runs without {{ `{{ $labels.mechanism }}` }} in the pool {{ `{{ $labels.pool }}` }}
  description: >-
    The node's kernel cannot confine decoders. Choose other nodes; REQUIRE_SANDBOX keeps workers off such ones.
AbsentMetrics:
  expr: |-
    absent(rushes_slots{ {{- $here -}} ,component="control"})
  summary: >-
    No control process of Rushes gives metrics
  description: >-
    Either none runs, or Prometheus does not reach them. All other alerts are blind.
{{- end -}}
