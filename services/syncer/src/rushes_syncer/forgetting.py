"""Forgets a site that was removed: its rows go, and a site of that name that comes later is a new one.

What the site's store holds is nobody's business here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from rushes_runtime.database import Database
from rushes_runtime.rewinding import rewind
from rushes_runtime.settings import KafkaSettings
from rushes_schemas.contracts import STATUS_CHANGED_TOPIC
from sqlalchemy import text

from rushes_syncer.bootstrap import MARK_EVERY

# Longer than a process that follows the topic goes without saying so.
_ALIVE_WITHIN: Final = 3 * MARK_EVERY

# Whoever works for a site now, in words.
_AT_WORK: Final = """
    SELECT 'a process followed the topic for it ' || round(extract(epoch FROM now() - polled_at)) || ' s ago' AS who
    FROM site WHERE name = :site AND polled_at > now() - make_interval(secs => :within)
    UNION ALL SELECT 'a worker copies to it: ' || worker FROM task
    WHERE split_part(subject, '/', 1) = :site AND state = 'running' AND lease_until > now()
    UNION ALL SELECT 'a pass over it runs: ' || holder FROM role_lease
    WHERE role = 'pass ' || :site AND lease_until > now()"""
_KNOWN: Final = """
    SELECT (SELECT count(*) FROM site WHERE name = :site) AS sites,
        (SELECT count(*) FROM site_preview WHERE site = :site) AS previews,
        count(*) AS objects, coalesce(sum(bytes), 0)::bigint AS bytes,
        (SELECT count(*) FROM task WHERE split_part(subject, '/', 1) = :site) AS jobs,
        (SELECT count(*) FROM pass WHERE site = :site) AS passes
    FROM held WHERE site = :site"""
# Its differences go with a pass. The inbox goes too: to a site that comes back every record is new.
_FORGET: Final = tuple(
    text(statement)
    for statement in (
        "DELETE FROM task WHERE split_part(subject, '/', 1) = :site",
        "DELETE FROM attempt WHERE split_part(subject, '/', 1) = :site",
        "DELETE FROM held WHERE site = :site",
        "DELETE FROM site_preview WHERE site = :site",
        "DELETE FROM pass WHERE site = :site",
        "DELETE FROM role_lease WHERE role = 'pass ' || :site",
        "DELETE FROM inbox WHERE consumer = :consumer",
        "DELETE FROM site_partition WHERE site = :site",
        "DELETE FROM site WHERE name = :site",
    )
)


class SiteAtWorkError(ValueError):
    """Somebody works for the site; the text says who, and what to do."""


@dataclass(frozen=True)
class Known:
    """What is known of a site: rows of its ledger, and the objects and bytes that these say it holds."""

    site: str
    sites: int
    previews: int
    objects: int
    bytes: int
    jobs: int
    passes: int

    def __bool__(self) -> bool:
        return any(value for name, value in vars(self).items() if name != "site")


def group_of(instance: str, site: str) -> str:
    """The consumer group of a site."""
    return f"{instance}.syncer.{site}"


async def forget(database: Database, kafka: KafkaSettings, instance: str, site: str, *, dry_run: bool = False) -> Known:
    """Remove what is known of a site; what that was. A site that nothing is known of is forgotten already.

    Args:
        dry_run: only count.

    Raises:
        SiteAtWorkError: a process works for it. Nothing was changed.
        GroupInUseError: a consumer of its group runs. Nothing was changed.
        aiokafka.errors.KafkaError: the broker cannot be reached or refuses. Nothing was changed.
    """
    at_work: list[Any] = list(await database.fetch(_AT_WORK, site=site, within=_ALIVE_WITHIN))
    if at_work:
        raise SiteAtWorkError(
            f"{site} is alive: {'; '.join(row.who for row in at_work)}. Stop its syncer first, and wait"
            f" {_ALIVE_WITHIN:.0f} s"
        )
    (row,) = await database.fetch(_KNOWN, site=site)
    known = Known(site, row.sites, row.previews, row.objects, row.bytes, row.jobs, row.passes)
    if known and not dry_run:
        group = group_of(instance, site)
        async with database.begin() as connection:
            for statement in _FORGET:
                await connection.execute(statement, {"site": site, "consumer": group})
            await rewind(kafka, group, [STATUS_CHANGED_TOPIC], None)
    return known
