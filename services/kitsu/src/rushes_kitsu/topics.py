"""The topic that the bridge writes of its own, and how it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rushes_runtime.kafka import KEPT_A_MONTH

TOPICS: Final[Mapping[str, Mapping[str, str]]] = {"kitsu.dead-letters": KEPT_A_MONTH}
