"""The syncer's metrics, each declared once."""

from __future__ import annotations

from prometheus_client import Counter

OBJECTS = Counter("rushes_sync_objects_total", "Objects looked at for a site, by outcome.", ["outcome"])
BYTES = Counter("rushes_sync_bytes_total", "Bytes copied to sites.")
