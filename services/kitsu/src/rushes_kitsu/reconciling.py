"""Whether Zou says of a preview what Rushes says, and what to do if not: a pure decision.

Zou marks a preview `broken` by its own time-out, or when an RQ worker is killed, and is told nothing of its end then;
nor of what it didn't ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from rushes_schemas.statuses import exposed_status

from rushes_kitsu.announced import Announced

_IN_WORK: Final = "processing"
# Zou reads the length of a movie off the file, Rushes counts its frames.
_SAME_SECONDS: Final = 0.1


class Step(StrEnum):
    """What follows from Zou's row of a preview of which Rushes has said something."""

    AGREES = "agrees"
    CORRECT = "correct"
    LATER = "later"  # somebody at Zou is about to say so, or something newer
    GONE = "gone"  # deleted at Zou


@dataclass(frozen=True)
class ZouState:
    """What Zou says of a preview."""

    status: str
    updated_at: datetime | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    file_size: int | None = None


def fields_of(said: Announced, *, expose_missing: bool) -> dict[str, Any]:
    """The fields of Zou's row as Rushes would have them. Never `processing`."""
    status = exposed_status(said.status, expose_missing=expose_missing)
    facts = {name: getattr(said, name) for name in ("width", "height", "duration", "file_size")}
    return {"status": status, **{name: value for name, value in facts.items() if value is not None}}


def step_for(
    zou: ZouState | None, said: Announced, *, now: datetime, patience: timedelta, expose_missing: bool
) -> Step:
    """What to do.

    Args:
        zou: None: Zou has no such preview.
        patience: how long after Rushes' end, or after the last change at Zou, somebody there may still be at work.
    """
    if zou is None:
        return Step.GONE
    if zou.status == _IN_WORK:
        since = max(said.ended_at, zou.updated_at or said.ended_at)
        return Step.CORRECT if now - since > patience else Step.LATER
    wanted = fields_of(said, expose_missing=expose_missing)
    return Step.AGREES if all(_is_same(name, getattr(zou, name), wanted[name]) for name in wanted) else Step.CORRECT


def _is_same(name: str, zou: Any, ours: Any) -> bool:
    if name == "duration":
        return zou is not None and abs(zou - ours) <= _SAME_SECONDS
    return bool(zou == ours)
