"""What is known of each site as a whole, and the figures that are made of it."""

from __future__ import annotations

from typing import Final

from rushes_runtime.figures import Figure
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_syncer import metrics

_FIRST_SEEN: Final = text("INSERT INTO site (name) VALUES (:name) ON CONFLICT DO NOTHING")
_PASSED: Final = text("""
    INSERT INTO site (name, passed_at, lacking, different, extra) VALUES (:name, now(), :missing, :different, :extra)
    ON CONFLICT (name) DO UPDATE SET passed_at = now(), lacking = excluded.lacking, different = excluded.different,
        extra = excluded.extra""")
_FIGURES: Final = text("""
    SELECT name, extract(epoch FROM coalesce(passed_at, first_seen_at)) AS passed, lacking, different, extra,
        coalesce(waits.jobs, 0) AS waiting
    FROM site LEFT JOIN (
        SELECT split_part(subject, '/', 1) AS name, count(*) AS jobs FROM task WHERE state = 'queued' GROUP BY 1
    ) AS waits USING (name)""")


async def first_seen(connection: AsyncConnection, name: str) -> None:
    """Write down that there is a site; from now on a full pass is waited for."""
    await connection.execute(_FIRST_SEEN, {"name": name})


async def passed(connection: AsyncConnection, name: str, *, missing: int, different: int, extra: int) -> None:
    """Write down that a pass over the whole site has ended, and how many objects still differ from the main store."""
    values = {"name": name, "missing": missing, "different": different, "extra": extra}
    await connection.execute(_PASSED, values)


async def figures(connection: AsyncConnection) -> list[Figure]:
    """What waits for each site, and what the last pass over it left."""
    found = []
    for row in await connection.execute(_FIGURES):
        found += [
            Figure(metrics.WAITING, row.waiting, (row.name,)),
            Figure(metrics.FULL_PASS, float(row.passed), (row.name,)),
            Figure(metrics.DRIFT, row.lacking, (row.name, "missing")),
            Figure(metrics.DRIFT, row.different, (row.name, "different")),
            Figure(metrics.DRIFT, row.extra, (row.name, "extra")),
        ]
    return found
