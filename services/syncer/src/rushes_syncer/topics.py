"""The topics that the syncer writes, and how each is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rushes_runtime.kafka import KEPT_A_MONTH
from rushes_schemas.contracts import FILES_SYNCED_TOPIC

TOPICS: Final[Mapping[str, Mapping[str, str]]] = {
    FILES_SYNCED_TOPIC: KEPT_A_MONTH,
    "syncer.dead-letters": KEPT_A_MONTH,
}
