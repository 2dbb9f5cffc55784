"""The statuses of a preview, and the one place that maps them for API consumers."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class PreviewStatus(StrEnum):
    """What became of an upload, as Rushes itself sees it."""

    PROCESSING = "processing"  # uploaded, not ended yet
    READY = "ready"  # every output is verified and published
    BROKEN = "broken"  # the source is there and cannot be turned into outputs
    MISSING = "missing"  # the source is proven to be gone from the store


class ValidationStatus(StrEnum):
    """What a supervisor said of a preview."""

    VALIDATED = "validated"
    REJECTED = "rejected"
    NEUTRAL = "neutral"


NEEDS_ATTENTION: Final = frozenset({PreviewStatus.PROCESSING, PreviewStatus.BROKEN, PreviewStatus.MISSING})


def exposed_status(status: str, *, expose_missing: bool) -> str:
    """The status that an API consumer may see.

    Until clients know `missing` (the switch ``EXPOSE_MISSING``), they see `broken` for it. A status that
    this version does not know passes unchanged.
    """
    if status == PreviewStatus.MISSING and not expose_missing:
        return PreviewStatus.BROKEN.value
    return str(status)


def statuses_behind(exposed: str | Iterable[str], *, expose_missing: bool) -> frozenset[str]:
    """The internal statuses that a client's filter stands for: the inverse of `exposed_status`.

    With the switch off `broken` stands for `broken` and `missing`, and `missing` for nothing, because no
    answer may say it.

    Args:
        exposed: one status, or several of which any may hold; none find nothing.
    """
    asked = {exposed} if isinstance(exposed, str) else set(exposed)
    known = {status.value for status in PreviewStatus} | asked
    return frozenset(status for status in known if exposed_status(status, expose_missing=expose_missing) in asked)
