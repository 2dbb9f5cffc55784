"""Rows of what sites want and hold, and the few statements that read and write them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from rushes_runtime.database import Database
from rushes_schemas import StatusChanged, StoredFile
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_syncer.deciding import Decision

SCHEMA: Final = "syncer"


@dataclass(frozen=True)
class SitePreview:
    """A preview's newest record, as a site has seen it.

    Attributes:
        wanted_bytes: of the objects that the site should hold; None in rows of before.
    """

    site: str
    preview_file_id: UUID
    version: int
    status: str
    project_id: UUID | None
    files: tuple[StoredFile, ...]
    deleted: bool
    decision: Decision
    uploaded_at: datetime | None = None
    wanted_bytes: int | None = None

    @property
    def subject(self) -> str:
        """What the ledger calls it."""
        return subject_of(self.site, self.preview_file_id)


class Held(NamedTuple):
    """An object that a site holds; `etag` is the site's, `source_etag` the main store's, empty if it is not known."""

    bucket: str
    key: str
    preview_file_id: UUID
    bytes: int
    sha256: str
    etag: str
    source_etag: str


def subject_of(site: str, preview_file_id: UUID) -> str:
    """The ledger's subject of a preview at a site."""
    return f"{subject_prefix(site)}{preview_file_id}"


def subject_prefix(site: str) -> str:
    """How the subjects of a site begin."""
    return f"{site}/"


def parse_subject(subject: str) -> tuple[str, UUID]:
    """The inverse of `subject_of`."""
    site, _, preview_file_id = subject.partition("/")
    return site, UUID(preview_file_id)


LOCK: Final = text("""
    SELECT * FROM site_preview WHERE site = :site AND preview_file_id = ANY(:ids)
    ORDER BY preview_file_id FOR UPDATE""")

# Records that are not newer than what a site has seen change nothing.
SAVE: Final = text("""
    INSERT INTO site_preview AS seen
        (site, preview_file_id, version, status, project_id, files, deleted, decision, uploaded_at,
         wanted_bytes)
    SELECT site, preview_file_id, version, status, project_id, files, deleted, decision, uploaded_at,
        wanted_bytes
    FROM json_to_recordset(CAST(:rows AS json))
        AS new (site text, preview_file_id uuid, version bigint, status text, project_id uuid, files jsonb,
                deleted boolean, decision text, uploaded_at timestamptz, wanted_bytes bigint)
    ON CONFLICT (site, preview_file_id) DO UPDATE SET version = excluded.version, status = excluded.status,
        project_id = excluded.project_id, files = excluded.files, deleted = excluded.deleted,
        decision = excluded.decision, uploaded_at = excluded.uploaded_at, wanted_bytes = excluded.wanted_bytes,
        failure_code = NULL, updated_at = now()
    WHERE seen.version < excluded.version
    RETURNING preview_file_id""")

# The columns in the order of `Held`.
_HELD: Final = text("""
    SELECT bucket, key, preview_file_id, bytes, sha256, etag, source_etag FROM held
    WHERE site = :site AND preview_file_id = :id""")
_HELD_UNDER: Final = """
    SELECT bucket, key, preview_file_id, bytes, sha256, etag, source_etag FROM held
    WHERE site = :site AND bucket = :bucket AND key = ANY(:keys)"""
_HOLD: Final = text("""
    INSERT INTO held (site, bucket, key, preview_file_id, bytes, sha256, etag, source_etag)
    SELECT :site, bucket, key, preview_file_id, bytes, sha256, etag, source_etag
    FROM json_to_recordset(CAST(:rows AS json))
        AS new (bucket text, key text, preview_file_id uuid, bytes bigint, sha256 text, etag text, source_etag text)
    ON CONFLICT (site, bucket, key) DO UPDATE SET bytes = excluded.bytes, sha256 = excluded.sha256,
        etag = excluded.etag, source_etag = excluded.source_etag, copied_at = now()""")
_LET_GO: Final = text("DELETE FROM held WHERE site = :site AND preview_file_id = :id RETURNING key")
_FAILED: Final = text("UPDATE site_preview SET failure_code = :code WHERE site = :site AND preview_file_id = :id")


async def lock(connection: AsyncConnection, site: str, ids: Iterable[UUID]) -> dict[UUID, SitePreview]:
    """The rows of previews at a site, locked until the transaction ends."""
    result = await connection.execute(LOCK, {"site": site, "ids": list(ids)})
    return {
        row["preview_file_id"]: SitePreview(
            site=row["site"],
            preview_file_id=row["preview_file_id"],
            version=row["version"],
            status=row["status"],
            project_id=row["project_id"],
            files=tuple(StoredFile.model_validate(stored) for stored in row["files"]),
            deleted=row["deleted"],
            decision=Decision(row["decision"]),
            uploaded_at=row["uploaded_at"],
            wanted_bytes=row["wanted_bytes"],
        )
        for row in result.mappings()
    }


def newest(events: Iterable[StatusChanged]) -> dict[UUID, StatusChanged]:
    """The newest record of each preview in a batch."""
    latest: dict[UUID, StatusChanged] = {}
    for event in events:
        held = latest.get(event.preview_file_id)
        if held is None or event.version > held.version:
            latest[event.preview_file_id] = event
    return latest


async def save(connection: AsyncConnection, rows: Sequence[SitePreview]) -> set[UUID]:
    """Write records that are newer than what was seen; the previews that were written."""
    values = [
        {
            "site": row.site,
            "preview_file_id": str(row.preview_file_id),
            "version": row.version,
            "status": row.status,
            "project_id": str(row.project_id) if row.project_id else None,
            "files": [stored.model_dump(mode="json") for stored in row.files],
            "deleted": row.deleted,
            "decision": row.decision.value,
            "uploaded_at": row.uploaded_at.isoformat() if row.uploaded_at else None,
            "wanted_bytes": row.wanted_bytes,
        }
        for row in sorted(rows, key=lambda row: row.preview_file_id)
    ]
    result = await connection.execute(SAVE, {"rows": json.dumps(values)})
    return {row.preview_file_id for row in result}


async def held(connection: AsyncConnection, site: str, preview_file_id: UUID) -> dict[tuple[str, str], Held]:
    """What a site holds of a preview, by bucket and key."""
    result = await connection.execute(_HELD, {"site": site, "id": preview_file_id})
    return {(each.bucket, each.key): each for each in map(Held._make, result)}


async def held_under(database: Database, site: str | None, bucket: str, keys: Sequence[str]) -> dict[str, Held]:
    """What a site holds under some keys of a bucket, by key; no site holds nothing."""
    if site is None:
        return {}
    rows = await database.fetch(_HELD_UNDER, site=site, bucket=bucket, keys=list(keys))
    return {each.key: each for each in map(Held._make, rows)}


async def hold(connection: AsyncConnection, site: str, objects: Sequence[Held]) -> None:
    """Write down what a site holds now."""
    rows = [each._asdict() | {"preview_file_id": str(each.preview_file_id)} for each in objects]
    if rows:
        await connection.execute(_HOLD, {"site": site, "rows": json.dumps(rows)})


async def let_go(connection: AsyncConnection, site: str, preview_file_id: UUID) -> int:
    """Write down that a site holds nothing of a preview any more; the number of objects that it held."""
    result = await connection.execute(_LET_GO, {"site": site, "id": preview_file_id})
    return len(result.all())


async def mark_failed(connection: AsyncConnection, site: str, preview_file_id: UUID, code: str) -> None:
    """Write down that a site lacks something of a preview."""
    await connection.execute(_FAILED, {"site": site, "id": preview_file_id, "code": code})
