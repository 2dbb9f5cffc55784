"""The ids of dispatched jobs. They say all that a replica needs to answer polls, also without its database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID: Final = re.compile(rf"(?P<job>[^/]+)\.rushes\.(?P<preview>{_UUID})\.(?P<event>{_UUID})")


@dataclass(frozen=True)
class JobId:
    """A dispatched job: which job of Zou's settings, for which preview, and the id of the event that it became.

    Its only allocation has the same id.
    """

    job: str
    preview_file_id: UUID
    event_id: UUID

    def __str__(self) -> str:
        return f"{self.job}.rushes.{self.preview_file_id}.{self.event_id}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The inverse of `str`; None for an id that is not ours."""
        match = _ID.fullmatch(text)
        return cls(match["job"], UUID(match["preview"]), UUID(match["event"])) if match else None
