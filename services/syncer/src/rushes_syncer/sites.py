"""Rows of what sites want and hold, and the few statements that read and write them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from rushes_runtime.figures import Figure
from rushes_schemas import StatusChanged, StoredFile
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_syncer import metrics
from rushes_syncer.deciding import Decision

SCHEMA: Final = "syncer"


@dataclass(frozen=True)
class SitePreview:
    """A preview's newest record, as a site has seen it."""

    site: str
    preview_file_id: UUID
    version: int
    status: str
    project_id: UUID | None
    files: tuple[StoredFile, ...]
    deleted: bool
    decision: Decision

    @property
    def subject(self) -> str:
        """What the ledger calls it."""
        return subject_of(self.site, self.preview_file_id)


@dataclass(frozen=True)
class Held:
    """An object that a site holds; `etag` is the site's, `source_etag` the main store's."""

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
        (site, preview_file_id, version, status, project_id, files, deleted, decision)
    SELECT site, preview_file_id, version, status, project_id, files, deleted, decision
    FROM json_to_recordset(CAST(:rows AS json))
        AS new (site text, preview_file_id uuid, version bigint, status text, project_id uuid, files jsonb,
                deleted boolean, decision text)
    ON CONFLICT (site, preview_file_id) DO UPDATE SET version = excluded.version, status = excluded.status,
        project_id = excluded.project_id, files = excluded.files, deleted = excluded.deleted,
        decision = excluded.decision, failure_code = NULL, updated_at = now()
    WHERE seen.version < excluded.version
    RETURNING preview_file_id""")

_HELD: Final = text("SELECT * FROM held WHERE site = :site AND preview_file_id = :id")
_HOLD: Final = text("""
    INSERT INTO held (site, bucket, key, preview_file_id, bytes, sha256, etag, source_etag)
    SELECT :site, bucket, key, preview_file_id, bytes, sha256, etag, source_etag
    FROM json_to_recordset(CAST(:rows AS json))
        AS new (bucket text, key text, preview_file_id uuid, bytes bigint, sha256 text, etag text, source_etag text)
    ON CONFLICT (site, bucket, key) DO UPDATE SET bytes = excluded.bytes, sha256 = excluded.sha256,
        etag = excluded.etag, source_etag = excluded.source_etag, copied_at = now()""")
_FAILED: Final = text("UPDATE site_preview SET failure_code = :code WHERE site = :site AND preview_file_id = :id")


_FIRST_SEEN: Final = text("INSERT INTO site (name) VALUES (:name) ON CONFLICT DO NOTHING")
_PASSED: Final = text("""
    INSERT INTO site AS seen (name, passed_at, lacking, different) VALUES (:name, now(), :lacking, :different)
    ON CONFLICT (name) DO UPDATE SET passed_at = now(), lacking = excluded.lacking, different = excluded.different""")
_FIGURES: Final = text("""
    SELECT name, extract(epoch FROM coalesce(passed_at, first_seen_at)) AS passed, lacking, different,
        coalesce(waits.jobs, 0) AS waiting
    FROM site LEFT JOIN (
        SELECT split_part(subject, '/', 1) AS name, count(*) AS jobs FROM task WHERE state = 'queued' GROUP BY 1
    ) AS waits USING (name)""")


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
        }
        for row in sorted(rows, key=lambda row: row.preview_file_id)
    ]
    result = await connection.execute(SAVE, {"rows": json.dumps(values)})
    return {row.preview_file_id for row in result}


async def held(connection: AsyncConnection, site: str, preview_file_id: UUID) -> dict[tuple[str, str], Held]:
    """What a site holds of a preview, by bucket and key."""
    result = await connection.execute(_HELD, {"site": site, "id": preview_file_id})
    return {
        (row["bucket"], row["key"]): Held(**{name: row[name] for name in Held.__dataclass_fields__})
        for row in result.mappings()
    }


async def hold(connection: AsyncConnection, site: str, objects: Sequence[Held]) -> None:
    """Write down what a site holds now."""
    rows = [{**vars(each), "preview_file_id": str(each.preview_file_id)} for each in objects]
    if rows:
        await connection.execute(_HOLD, {"site": site, "rows": json.dumps(rows)})


async def mark_failed(connection: AsyncConnection, site: str, preview_file_id: UUID, code: str) -> None:
    """Write down that a site lacks something of a preview."""
    await connection.execute(_FAILED, {"site": site, "id": preview_file_id, "code": code})


async def first_seen(connection: AsyncConnection, name: str) -> None:
    """Write down that there is a site; from now on a full pass is waited for."""
    await connection.execute(_FIRST_SEEN, {"name": name})


async def passed(connection: AsyncConnection, name: str, *, lacking: int, different: int) -> None:
    """Write down that a full pass has ended, and how many objects the site still lacks, or holds otherwise."""
    await connection.execute(_PASSED, {"name": name, "lacking": lacking, "different": different})


async def figures(connection: AsyncConnection) -> list[Figure]:
    """What waits for each site, and what its last full pass left."""
    found = []
    for row in await connection.execute(_FIGURES):
        found += [
            Figure(metrics.WAITING, row.waiting, (row.name,)),
            Figure(metrics.FULL_PASS, float(row.passed), (row.name,)),
            Figure(metrics.DRIFT, row.lacking, (row.name, "lacking")),
            Figure(metrics.DRIFT, row.different, (row.name, "different")),
        ]
    return found
