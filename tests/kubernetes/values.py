"""The chart's values for a small machine, and the objects that it takes as given."""

from __future__ import annotations

from typing import Any

from tests.kubernetes.commands import NAMESPACE
from tests.kubernetes.servers import Servers, port_of

DATABASE = "rushes"
# Seconds that a job may go on in a pod that was told to go; a longer one is handed back.
DRAIN_BUDGET = 5


def namespace() -> dict[str, Any]:
    """A namespace that takes no pod but a restricted one."""
    enforced = {f"pod-security.kubernetes.io/{way}": "restricted" for way in ("enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforced}}


def unrestricted_pod(image: str) -> dict[str, Any]:
    """One that such a namespace refuses."""
    container = {"name": "rushes", "image": image, "command": ["rushes-normalizer", "--help"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loose"}, "spec": {"containers": [container]}}


def secrets(servers: Servers, database_url: str) -> list[dict[str, Any]]:
    """What a studio keeps outside of the chart."""
    store = {"access-key-id": servers.objects.access_key_id, "secret-access-key": servers.objects.secret_access_key}
    contents = {"rushes-database": {"url": servers.seen_by_pods(database_url)}, "rushes-store": store}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": content}
        for name, content in contents.items()
    ]


def chart_values(servers: Servers, address: str, image: str) -> dict[str, Any]:
    """Two control processes and two workers of one slot each, quick to notice what is gone."""
    repository, tag = image.rsplit(":", 1)
    small = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}}
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "kafka": {"bootstrapServers": f"{address}:{servers.kafka_port}"},
        "store": {"endpointUrl": servers.seen_by_pods(servers.objects.endpoint_url)},
        "networkPolicy": {
            "kafka": {"ports": [servers.kafka_port]},
            "database": {"ports": [port_of(servers.postgres.url)]},
            "store": {"ports": [port_of(servers.objects.endpoint_url)]},
        },
        "topics": {"partitions": 3, "replicas": 1},
        "migration": {"resources": small},
        "settings": {"LEASE": 20, "HEARTBEAT": 2, "JANITOR_INTERVAL": 1, "DRAIN_BUDGET": DRAIN_BUDGET},
        "normalizer": {
            "largestSource": "256Mi",
            "settings": {"DEFAULT_HEIGHT": 180, "REQUIRE_SANDBOX": True},
            "control": {"resources": small},
            "poolDefaults": {
                "replicas": 2,
                "slots": 1,
                "resources": small,
                "scratch": {"outputRoom": "512Mi"},
                "terminationGracePeriodSeconds": 30,
            },
        },
    }
