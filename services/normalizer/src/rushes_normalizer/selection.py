"""Choosing the previews to renormalize, by Zou's selectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from rushes_runtime.database import Database
from rushes_schemas import PreviewStatus

_RENORMALIZABLE: Final = """
    SELECT id, status FROM preview_file
    WHERE deleted_at IS NULL
      AND (CAST(:ids AS uuid[]) IS NULL OR id = ANY(:ids))
      AND (CAST(:statuses AS text[]) IS NULL OR status = ANY(:statuses))
      AND (CAST(:project AS uuid) IS NULL OR project_id = :project)
      AND (CAST(:code AS text) IS NULL OR failure_code = :code)
      AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
      AND (:any_kind OR extension = 'mp4')
    ORDER BY created_at, id
    LIMIT :limit"""


@dataclass(frozen=True)
class RenormalizeSelection:
    """Which previews to renormalize: all conditions hold together, the statuses among them are alternatives.

    Attributes:
        statuses: none for any; `ready` is chosen only if it is named, or by its id.
        age: previews that were first uploaded since then; zero for all.
        limit: at most so many, the oldest.
    """

    ids: Sequence[UUID] = ()
    statuses: frozenset[PreviewStatus] = frozenset()
    project_id: UUID | None = None
    code: str | None = None
    age: timedelta = timedelta(0)
    limit: int | None = None


class SelectionTooWideError(ValueError):
    """A selection that names neither ids nor statuses."""


async def select_for_renormalization(
    database: Database, wanted: RenormalizeSelection, now: datetime
) -> list[tuple[UUID, PreviewStatus]]:
    """Previews to renormalize, oldest first; only movies unless ids are named.

    Raises:
        SelectionTooWideError: neither an id nor a status is named.
    """
    if not (wanted.ids or wanted.statuses):
        msg = (
            "name --preview-file-id, or at least one of --all-broken, --all-missing, --all-processing, --include-ready"
        )
        raise SelectionTooWideError(msg)
    # Ids name ready previews too: `--include-ready` beside them must not leave the others out.
    only_ready = wanted.statuses == {PreviewStatus.READY}
    any_status = bool(wanted.ids) and only_ready
    rows = await database.fetch(
        _RENORMALIZABLE,
        ids=list(wanted.ids) or None,
        statuses=None if any_status else [status.value for status in wanted.statuses] or None,
        project=wanted.project_id,
        code=wanted.code,
        since=now - wanted.age if wanted.age else None,
        any_kind=bool(wanted.ids),
        limit=wanted.limit,
    )
    return [(row.id, PreviewStatus(row.status)) for row in rows]
