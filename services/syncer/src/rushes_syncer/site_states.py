"""What is known of each site as a whole, and the figures that are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rushes_runtime.figures import Figure
from rushes_runtime.kafka import COMPACTED
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_syncer import metrics

TOMBSTONES_LIVE: Final = timedelta(milliseconds=int(COMPACTED["delete.retention.ms"]))

_FIRST_SEEN: Final = text("INSERT INTO site (name) VALUES (:name) ON CONFLICT DO NOTHING")
_PASSED: Final = text("""
    INSERT INTO site (name, passed_at, lacking, different, extra) VALUES (:name, now(), :missing, :different, :extra)
    ON CONFLICT (name) DO UPDATE SET passed_at = now(), lacking = excluded.lacking, different = excluded.different,
        extra = excluded.extra""")
# A site that was away for longer than tombstones live may have missed some.
_MARK_THERE: Final = text("""
    UPDATE site SET polled_at = now(),
        must_reconcile = must_reconcile OR coalesce(polled_at < now() - make_interval(secs => :away), false)
    WHERE name = :name
    RETURNING bootstrapped_at IS NOT NULL AS bootstrapped""")
_BOOTSTRAPPED: Final = text("UPDATE site SET bootstrapped_at = now() WHERE name = :name AND bootstrapped_at IS NULL")
# Copies of the last minutes tell how long the rest takes.
_PROGRESS: Final = """
    SELECT name, bootstrapped_at, passed_at, polled_at, must_reconcile, lacking, different, extra,
        coalesce(wanted.previews, 0) AS wanted_previews, coalesce(wanted.bytes, 0)::bigint AS wanted_bytes,
        greatest(0, coalesce(wanted.previews, 0) - coalesce(wanted.failed, 0) - coalesce(open.jobs, 0)) AS previews,
        coalesce(wanted.failed, 0) AS failed,
        least(coalesce(here.bytes, 0), coalesce(wanted.bytes, 0))::bigint AS bytes,
        coalesce(here.lately, 0)::bigint AS lately, coalesce(open.jobs, 0) AS waiting
    FROM site
    LEFT JOIN (
        SELECT site AS name, count(*) AS previews, sum(wanted_bytes) AS bytes,
            count(*) FILTER (WHERE failure_code IS NOT NULL) AS failed
        FROM site_preview WHERE decision = 'copy' GROUP BY site) AS wanted USING (name)
    LEFT JOIN (
        SELECT site AS name, sum(bytes) AS bytes,
            sum(bytes) FILTER (WHERE copied_at > now() - interval '5 minutes') AS lately
        FROM held JOIN site_preview USING (site, preview_file_id) WHERE decision = 'copy' GROUP BY site
    ) AS here USING (name)
    LEFT JOIN (
        SELECT split_part(subject, '/', 1) AS name, count(*) AS jobs FROM (
            SELECT subject FROM task WHERE state = 'queued'
            UNION SELECT subject FROM task WHERE state = 'running') AS open GROUP BY 1
    ) AS open USING (name)"""
_FIGURES: Final = text(f"""
    SELECT *, (SELECT extract(epoch FROM coalesce(seen.passed_at, first_seen_at)) FROM site AS seen
               WHERE seen.name = told.name) AS passed
    FROM ({_PROGRESS}) AS told""")  # noqa: S608 - all of it is this module's own
_LATELY: Final = 300  # seconds


@dataclass(frozen=True)
class SiteProgress:
    """How far a site is: previews and bytes that it holds, of those that it should.

    Attributes:
        waiting: previews that are to be copied, or are being copied now.
        failed: previews of which a copy has failed for good; a pass puts them right.
        seconds_left: at the pace of the last minutes; None if nothing was copied in these.
        passed_at: when the last pass over the whole site ended, with what it left in `missing`, `different`, `extra`.
    """

    site: str
    bootstrapped_at: datetime | None
    polled_at: datetime | None
    must_reconcile: bool
    previews: int
    wanted_previews: int
    bytes: int
    wanted_bytes: int
    waiting: int
    failed: int
    seconds_left: float | None
    passed_at: datetime | None
    missing: int
    different: int
    extra: int


async def first_seen(connection: AsyncConnection, name: str) -> None:
    """Write down that there is a site; from now on a full pass is waited for."""
    await connection.execute(_FIRST_SEEN, {"name": name})


async def passed(connection: AsyncConnection, name: str, *, missing: int, different: int, extra: int) -> None:
    """Write down that a pass over the whole site has ended, and how many objects still differ from the main store."""
    values = {"name": name, "missing": missing, "different": different, "extra": extra}
    await connection.execute(_PASSED, values)


async def mark_there(connection: AsyncConnection, name: str) -> bool:
    """Write down that a site follows the topic now; whether it was ever bootstrapped."""
    await first_seen(connection, name)
    result = await connection.execute(_MARK_THERE, {"name": name, "away": TOMBSTONES_LIVE.total_seconds()})
    return bool(result.scalar_one())


async def bootstrapped(connection: AsyncConnection, name: str) -> None:
    """Write down that a site is past what the topic held when it was first seen."""
    await connection.execute(_BOOTSTRAPPED, {"name": name})


async def progress(connection: AsyncConnection, name: str) -> SiteProgress:
    """How far a site is that was seen before."""
    return next(each for each in await all_progress(connection) if each.site == name)


async def all_progress(connection: AsyncConnection) -> list[SiteProgress]:
    """How far each site is. It counts all rows."""
    return [
        SiteProgress(
            row.name,
            row.bootstrapped_at,
            row.polled_at,
            row.must_reconcile,
            row.previews,
            row.wanted_previews,
            row.bytes,
            row.wanted_bytes,
            row.waiting,
            row.failed,
            round((row.wanted_bytes - row.bytes) / row.lately * _LATELY, 1) if row.lately else None,
            row.passed_at,
            row.lacking,
            row.different,
            row.extra,
        )
        for row in await connection.execute(text(f"{_PROGRESS} ORDER BY name"))
    ]


async def figures(connection: AsyncConnection) -> list[Figure]:
    """What waits for each site, how far it is, and what the last pass over it left."""
    found = []
    for row in await connection.execute(_FIGURES):
        for gauge, value, *more in (
            (metrics.WAITING, row.waiting),
            (metrics.BOOTSTRAPPED, float(row.bootstrapped_at is not None)),
            (metrics.PREVIEWS, row.wanted_previews, "wanted"),
            (metrics.PREVIEWS, row.previews, "held"),
            (metrics.STOCK, row.wanted_bytes, "wanted"),
            (metrics.STOCK, row.bytes, "held"),
            (metrics.FULL_PASS, float(row.passed)),
            (metrics.DRIFT, row.lacking, "missing"),
            (metrics.DRIFT, row.different, "different"),
            (metrics.DRIFT, row.extra, "extra"),
        ):
            found.append(Figure(gauge, value, (row.name, *more), passes=True))
    return found
