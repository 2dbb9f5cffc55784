"""The topics that the normalizer reads and writes, and how each is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rushes_runtime.kafka import COMPACTED, KEPT_A_MONTH
from rushes_schemas.contracts import PREVIEW_UPLOADED_TOPIC, RENORMALIZE_REQUESTED_TOPIC, STATUS_CHANGED_TOPIC

TOPICS: Final[Mapping[str, Mapping[str, str]]] = {
    PREVIEW_UPLOADED_TOPIC: KEPT_A_MONTH,
    RENORMALIZE_REQUESTED_TOPIC: KEPT_A_MONTH,
    STATUS_CHANGED_TOPIC: COMPACTED,
    "normalizer.dead-letters": KEPT_A_MONTH,
}
