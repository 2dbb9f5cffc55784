"""What events mean for a preview: pure decisions over its row.

A batch is folded preview by preview, event by event, before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from rushes_runtime.envelopes import UnreadableError
from rushes_schemas import (
    Encoding,
    PreviewDeleted,
    PreviewStatus,
    PreviewUploaded,
    Priority,
    RenormalizeRequested,
)

from rushes_normalizer.kinds import UploadKind, default_source, shown_extension
from rushes_normalizer.previews import PreviewRow


class Lane(StrEnum):
    """Where a job stands: each lane's offset says how long others may overtake it."""

    UPLOAD = "upload"
    SINGLE = "single"
    BULK = "bulk"


class UploadMeaning(StrEnum):
    """What an upload event says about a preview."""

    NEW = "new"  # no such preview yet
    REPLACES = "replaces"  # another file under the same id
    REPEATED = "repeated"  # the upload that is already known
    STALE = "stale"  # older than what is known


def upload_meaning(row: PreviewRow | None, event: PreviewUploaded) -> UploadMeaning:
    """Tell a new upload from a repeated or a late one.

    Generations decide where both sides have one; else the time of the upload, and for equal times the source.
    """
    if row is None:
        return UploadMeaning.NEW
    if row.deleted_at is not None:
        return UploadMeaning.REPLACES if event.uploaded_at > row.deleted_at else UploadMeaning.STALE
    if event.upload_generation is not None and row.upload_generation is not None:
        held, given = row.upload_generation, event.upload_generation
    elif event.uploaded_at != row.uploaded_at:
        return UploadMeaning.REPLACES if event.uploaded_at > row.uploaded_at else UploadMeaning.STALE
    else:
        same = event.source is None or event.source.etag in {None, row.source.etag}
        return UploadMeaning.REPEATED if same else UploadMeaning.REPLACES
    if given == held:
        return UploadMeaning.REPEATED
    return UploadMeaning.REPLACES if given > held else UploadMeaning.STALE


@dataclass(frozen=True)
class NewRequest:
    """A request's row to be written; `outcome` is set if it has ended at once."""

    event_id: str
    source: str
    kind: str
    reason: str | None = None
    requested_by: str | None = None
    outcome: str | None = None


@dataclass
class Folded:
    """What a batch makes of one preview.

    Attributes:
        before: the row as it was; None for a preview that is new.
        row: the row as it will be.
        lane: the most urgent lane that asks for work; None if nothing does.
        encoding: the wishes of the latest request for work, else those of the upload.
    """

    before: PreviewRow | None
    row: PreviewRow | None
    lane: Lane | None = None
    encoding: Encoding | None = None
    requests: list[NewRequest] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether a transition happened."""
        return self.row is not None and (self.before is None or self.row.version != self.before.version)

    def _wants(self, lane: Lane, encoding: Encoding | None) -> None:
        order = list(Lane)
        self.lane = lane if self.lane is None else min(self.lane, lane, key=order.index)
        self.encoding = encoding

    def uploaded(
        self,
        event: PreviewUploaded,
        event_id: str,
        source: str,
        *,
        kind: Callable[[str], UploadKind],
        now: datetime,
    ) -> None:
        """Fold an upload in."""
        meaning = upload_meaning(self.row, event)
        request = NewRequest(event_id, source, "upload")
        match meaning:
            case UploadMeaning.STALE:
                self.requests.append(replace(request, outcome="stale"))
            case UploadMeaning.REPEATED:
                assert self.row
                # Sending an upload again is how an upstream asks for another try.
                if self.row.status in {PreviewStatus.BROKEN, PreviewStatus.MISSING}:
                    self._wants(Lane.UPLOAD, self.row.encoding)
                    self.requests.append(request)
                else:
                    self.requests.append(replace(request, outcome="repeated"))
            case UploadMeaning.NEW | UploadMeaning.REPLACES:
                self.row = _uploaded_row(self.row, event, kind(event.extension), now, one_more=not self.changed)
                self._wants(Lane.UPLOAD, event.encoding)
                self.requests.append(request)

    def renormalized(self, event: RenormalizeRequested, event_id: str, source: str) -> None:
        """Fold a request to renormalize in.

        Raises:
            UnreadableError: there is no such preview.
        """
        if self.row is None or self.row.deleted_at is not None:
            reason = "unknown_preview" if self.row is None else "deleted_preview"
            raise UnreadableError(reason, f"no preview {event.preview_file_id} to renormalize")
        lane = Lane.BULK if event.priority is Priority.BULK else Lane.SINGLE
        self._wants(lane, event.encoding or self.row.encoding)
        self.requests.append(NewRequest(event_id, source, "renormalize", event.reason, event.requested_by))

    def deleted(self, event: PreviewDeleted, event_id: str, source: str) -> None:
        """Fold a deletion in.

        Raises:
            UnreadableError: there is no such preview.
        """
        if self.row is None:
            raise UnreadableError("unknown_preview", f"no preview {event.preview_file_id} to delete")
        repeated = self.row.deleted_at is not None
        self.requests.append(NewRequest(event_id, source, "delete", outcome="repeated" if repeated else "deleted"))
        if not repeated:
            version = self.row.version if self.changed else self.row.version + 1
            self.row = replace(self.row, deleted_at=event.deleted_at, version=version)
            self.lane = None
            self.requests = [
                request if request.outcome else replace(request, outcome="deleted") for request in self.requests
            ]


def _uploaded_row(
    row: PreviewRow | None, event: PreviewUploaded, kind: UploadKind, now: datetime, *, one_more: bool
) -> PreviewRow:
    """The row of a new upload. A batch is one transition, however many uploads it holds for one preview."""
    source = event.source or default_source(kind, event.extension, event.preview_file_id)
    values: dict[str, Any] = {
        "status": PreviewStatus.PROCESSING,
        "uploaded_at": event.uploaded_at,
        "upload_extension": event.extension,
        "upload_generation": event.upload_generation,
        "extension": shown_extension(kind, event.extension),
        "source": source,
        "file_size": source.bytes,
        "encoding": event.encoding,
        "failure_code": None,
        "failure_message": None,
        "failure_for_artist": None,
        "deleted_at": None,
    }
    given = ("name", "original_name", "revision", "position", "project_id", "task_id", "person_id")
    values |= {name: value for name in given if (value := getattr(event, name)) is not None}
    if row is None:
        return PreviewRow(id=event.preview_file_id, version=1, created_at=now, **values)
    return replace(row, version=row.version + 1 if one_more else row.version, **values)
