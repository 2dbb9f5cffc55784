"""Passes over a site in the database: what they found and what became of it, so that a killed one is gone on with.

What a pass has to do stands in a table, not in memory, however much it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from rushes_runtime.database import Database
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_syncer.comparing import Finding

Kind = Literal["full", "dry-run", "verify"]
Order = Literal["biggest", "newest"]
NAMED: Final = 1000  # objects that a report names, at most

# A pass that was cut off after its comparison is gone on with for a day; then what it found is too old.
_CUT_OFF: Final = """
    SELECT id, began_at, counts FROM pass
    WHERE site = :site AND kind = :kind AND options = CAST(:options AS jsonb)
      AND compared_at IS NOT NULL AND ended_at IS NULL AND began_at > now() - interval '1 day'
    ORDER BY began_at DESC LIMIT 1"""
_FORGET: Final = "DELETE FROM pass WHERE site = :site AND kind = :kind RETURNING 1"
_BEGIN: Final = """
    INSERT INTO pass (site, kind, options) VALUES (:site, :kind, CAST(:options AS jsonb)) RETURNING id, began_at"""
_NOTE: Final = text("""
    INSERT INTO difference (pass_id, bucket, key, preview_file_id, project_id, finding, bytes, modified, etag,
                            source_etag)
    SELECT :id, bucket, key, preview_file_id, project_id, finding, bytes, modified, etag, source_etag
    FROM json_to_recordset(CAST(:rows AS json))
        AS new (bucket text, key text, preview_file_id uuid, project_id uuid, finding text, bytes bigint,
                modified timestamptz, etag text, source_etag text)""")
_COMPARED: Final = """
    UPDATE pass SET compared_at = now(), counts = CAST(:counts AS jsonb) WHERE id = :id RETURNING id"""
# The SHA-256 is that of the record, if its object is still the one that was looked at.
_LEFT: Final = """
    WITH next AS MATERIALIZED (
        SELECT * FROM difference
        WHERE pass_id = :id AND state = 'open' AND finding = ANY(:findings) AND bucket <> ALL(:given_up)
        ORDER BY {order} DESC LIMIT :limit)
    SELECT bucket, key, preview_file_id, project_id, finding, bytes, modified, etag, source_etag, (
        SELECT stored ->> 'sha256' FROM site_preview, jsonb_array_elements(files) AS stored
        WHERE site = :site AND site_preview.preview_file_id = next.preview_file_id
          AND stored ->> 'bucket' = next.bucket AND stored ->> 'key' = next.key
          AND stored ->> 'etag' = next.source_etag LIMIT 1) AS sha256
    FROM next
    WHERE (bucket, key) NOT IN (SELECT * FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])))
    ORDER BY {order} DESC"""
_LEFT_BY: Final = {"biggest": _LEFT.format(order="bytes"), "newest": _LEFT.format(order="modified")}
_SETTLE: Final = text("""
    UPDATE difference SET state = done.state, message = done.message
    FROM json_to_recordset(CAST(:rows AS json)) AS done (bucket text, key text, state text, message text)
    WHERE pass_id = :id AND difference.bucket = done.bucket AND difference.key = done.key""")
_GIVE_UP: Final = """
    UPDATE difference SET state = 'failed', message = :message
    WHERE pass_id = :id AND bucket = :bucket AND state = 'open' AND finding = ANY(:findings)
    RETURNING 1"""
_TOTALS: Final = """
    SELECT finding, state, count(*) AS objects, coalesce(sum(bytes), 0)::bigint AS bytes
    FROM difference WHERE pass_id = :id GROUP BY finding, state"""
_BY_PROJECT: Final = """
    SELECT project_id, finding, count(*) AS objects, sum(bytes)::bigint AS bytes
    FROM difference WHERE pass_id = :id GROUP BY project_id, finding
    ORDER BY project_id NULLS LAST"""
_NAMED: Final = """
    SELECT bucket, key, finding, project_id, bytes, state, message FROM difference
    WHERE pass_id = :id AND state = ANY(:states) ORDER BY bucket, key LIMIT :limit"""
_END: Final = "UPDATE pass SET ended_at = now() WHERE id = :id RETURNING id"


@dataclass(frozen=True)
class Counts:
    """What a comparison came to, in objects; what is to be put right is not in it."""

    looked_at: int = 0
    held: int = 0
    skipped: int = 0
    kept: int = 0
    extra: int = 0
    waiting: int = 0


@dataclass(frozen=True)
class Pass:
    """A pass; `counts` once its comparison is done.

    Attributes:
        resumed: it was cut off after that, and goes on now.
    """

    id: UUID
    site: str
    began_at: datetime
    counts: Counts | None = None
    resumed: bool = False


class Difference(NamedTuple):
    """An object to be put right; `etag` is the site's, None where it has none.

    Attributes:
        bytes: of the source's, or of an extra one.
        modified: at the source, or of an extra one.
        sha256: what the source's object must be, if that is known.
    """

    bucket: str
    key: str
    preview_file_id: UUID
    project_id: UUID | None
    finding: Finding
    bytes: int
    modified: datetime
    etag: str | None
    source_etag: str | None
    sha256: str | None = None


class Settled(NamedTuple):
    """What became of a difference: `copied`, `removed`, `absent` (at the source), `failed` or `refused`."""

    bucket: str
    key: str
    state: str
    message: str | None = None


@dataclass(frozen=True)
class Total:
    """Differences of one finding in one state."""

    finding: Finding
    state: str
    objects: int
    bytes: int


async def begin(database: Database, site: str, kind: Kind, options: Mapping[str, Any], *, goes_on: bool = True) -> Pass:
    """A new pass, or the one of the same options that was cut off. Others of the kind are forgotten.

    Args:
        goes_on: with one that was cut off, if there is one.
    """
    values = {"site": site, "kind": kind, "options": json.dumps(options, sort_keys=True)}
    if goes_on and (cut_off := await database.fetch(_CUT_OFF, **values)):
        (row,) = cut_off
        return Pass(row.id, site, row.began_at, Counts(**row.counts), resumed=True)
    await database.fetch(_FORGET, site=site, kind=kind)
    (row,) = await database.fetch(_BEGIN, **values)
    return Pass(row.id, site, row.began_at)


async def note(connection: AsyncConnection, pass_id: UUID, differences: Sequence[Difference]) -> None:
    """Write down what differs."""
    rows = [each._asdict() for each in differences]
    await connection.execute(_NOTE, {"id": pass_id, "rows": json.dumps(rows, default=str)})


async def compared(database: Database, pass_id: UUID, counts: Counts) -> None:
    """The comparison is done; from now on the pass can be gone on with."""
    await database.fetch(_COMPARED, id=pass_id, counts=json.dumps(asdict(counts)))


async def left(
    database: Database,
    going: Pass,
    findings: Collection[Finding],
    *,
    order: Order,
    limit: int,
    but: Collection[tuple[str, str]] = (),
    given_up: Collection[str] = (),
) -> list[Difference]:
    """The next differences that are to be put right.

    Args:
        but: those by bucket and key that are under way.
        given_up: buckets of which none is tried any more.
    """
    rows = await database.fetch(
        _LEFT_BY[order],
        id=going.id,
        site=going.site,
        findings=[each.value for each in findings],
        given_up=list(given_up),
        limit=limit + len(but),
        buckets=[bucket for bucket, _ in but],
        keys=[key for _, key in but],
    )
    return [
        Difference(bucket, key, preview, project, Finding(finding), *rest)
        for bucket, key, preview, project, finding, *rest in rows
    ]


async def settle(connection: AsyncConnection, pass_id: UUID, settled: Sequence[Settled]) -> None:
    """Write down what became of differences."""
    rows = json.dumps([each._asdict() for each in settled])
    await connection.execute(_SETTLE, {"id": pass_id, "rows": rows})


async def give_up(database: Database, pass_id: UUID, bucket: str, findings: Collection[Finding], message: str) -> None:
    """Settle all that is left of a bucket as failed."""
    values = [each.value for each in findings]
    await database.fetch(_GIVE_UP, id=pass_id, bucket=bucket, findings=values, message=message)


async def totals(database: Database, pass_id: UUID) -> list[Total]:
    """What differs and what became of it, counted."""
    rows = await database.fetch(_TOTALS, id=pass_id)
    return [Total(Finding(row.finding), row.state, row.objects, row.bytes) for row in rows]


async def by_project(database: Database, pass_id: UUID) -> list[Any]:
    """What differed, counted by project and finding: rows of `project_id`, `finding`, `objects` and `bytes`."""
    return await database.fetch(_BY_PROJECT, id=pass_id)


async def named(database: Database, pass_id: UUID, states: Collection[str]) -> list[Any]:
    """Differences in some states by bucket and key, with their messages; `NAMED` at most."""
    return await database.fetch(_NAMED, id=pass_id, states=list(states), limit=NAMED)


async def failures(database: Database, pass_id: UUID, states: Collection[str]) -> list[str]:
    """Those of `named`, each as a line with its reason."""
    return [f"{row.bucket}/{row.key}: {row.message}" for row in await named(database, pass_id, states)]


async def end(database: Database, pass_id: UUID) -> None:
    """The pass is over: the next one compares anew."""
    await database.fetch(_END, id=pass_id)
