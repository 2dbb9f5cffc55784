"""Reconciles a site's ledger with the topic: what the topic has no more was deleted, and the site may not have heard.

The compacted topic is read whole, to its end; each preview that it holds is marked in the ledger, so memory stays flat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from rushes_runtime import ledger
from rushes_runtime.database import Database, is_away
from rushes_runtime.kafka import read_topic
from rushes_runtime.ledger import NewTask
from rushes_runtime.settings import KafkaSettings
from rushes_runtime.waiting import wait_or_stop
from rushes_schemas.contracts import STATUS_CHANGED_TOPIC
from sqlalchemy import text

from rushes_syncer import sites
from rushes_syncer.deciding import Decision, PreviewFacts, SyncRules, decide

log = structlog.get_logger(__name__)

_LOOK_EVERY: Final = 10.0  # seconds
_AGAIN_AFTER: Final = 600.0  # seconds after a reading that was refused or failed
_AT_ONCE: Final = 500
# More than these at once is no studio's tidying: the topic was emptied, or is another one.
_FEW: Final = 10

_NOW: Final = "SELECT clock_timestamp() AS began"
_PRESENT: Final = """
    UPDATE site_preview SET present_at = :began
    WHERE site = :site AND preview_file_id = ANY(:there) RETURNING 1"""
_ABSENT: Final = """
    UPDATE site_preview SET present_at = NULL
    WHERE site = :site AND preview_file_id = ANY(:gone) RETURNING 1"""
# What was seen since the reading began is newer than it.
_IS_GONE: Final = "site = :site AND NOT deleted AND updated_at < :began AND present_at IS DISTINCT FROM :began"
_COUNT: Final = f"""
    SELECT count(*) AS live, count(*) FILTER (WHERE {_IS_GONE}) AS gone
    FROM site_preview WHERE site = :site AND NOT deleted"""  # noqa: S608 - all of it is this module's own
_NEXT: Final = text(f"""
    SELECT preview_file_id, status, project_id FROM site_preview WHERE {_IS_GONE}
    ORDER BY preview_file_id LIMIT :limit FOR UPDATE""")  # noqa: S608 - all of it is this module's own
_DELETED: Final = text("""
    UPDATE site_preview SET deleted = true, decision = :decision, updated_at = clock_timestamp()
    WHERE site = :site AND preview_file_id = ANY(:ids)""")
_IS_DUE: Final = "SELECT 1 FROM site WHERE name = :site AND must_reconcile"
_DONE: Final = "UPDATE site SET must_reconcile = false WHERE name = :site RETURNING name"


class TooManyGoneError(ValueError):
    """The topic lacks so many previews that it is not believed; the text says how many, and what to do."""


@dataclass(frozen=True)
class Reconciled:
    """Previews: live ones in the ledger before, and those of them that the topic has no more."""

    site: str
    live: int
    gone: int


async def reconcile(
    database: Database, kafka: KafkaSettings, site: str, rules: SyncRules, *, dry_run: bool = False, force: bool = False
) -> Reconciled:
    """Mark previews that the topic has no more as deleted; with the rule to prune, have them removed.

    Args:
        dry_run: only count.
        force: however many they are.

    Raises:
        TooManyGoneError: more than half of the ledger's previews; nothing was changed.
        aiokafka.errors.KafkaError: the topic cannot be read to its end.
    """
    (now,) = await database.fetch(_NOW)
    async for records in read_topic(kafka, STATUS_CHANGED_TOPIC):
        there, gone = _keys(records)
        await database.fetch(_PRESENT, site=site, there=there, began=now.began)
        await database.fetch(_ABSENT, site=site, gone=gone)
    (counted,) = await database.fetch(_COUNT, site=site, began=now.began)
    if not dry_run:
        if not force and counted.gone > max(_FEW, counted.live // 2):
            raise TooManyGoneError(
                f"{site}: the topic {STATUS_CHANGED_TOPIC} has {counted.gone} of {counted.live} previews no more: is it"
                f" the right one, and whole? If so: rushes-syncer reconcile --site {site} --force"
            )
        while await _delete_some(database, site, rules, now.began):
            pass
        await database.fetch(_DONE, site=site)
    return Reconciled(site, counted.live, counted.gone)


def _keys(records: Sequence[ConsumerRecord[bytes, bytes]]) -> tuple[list[UUID], list[UUID]]:
    """The previews that records of one partition leave there, and those that they end."""
    there: dict[UUID, bool] = {}
    for record in records:
        try:
            there[UUID((record.key or b"").decode())] = record.value is not None
        except ValueError:  # no preview's: intake puts it aside
            continue
    return [each for each, has in there.items() if has], [each for each, has in there.items() if not has]


async def _delete_some(database: Database, site: str, rules: SyncRules, began: datetime) -> bool:
    """Mark the next ones; whether there were any."""
    now = datetime.now(UTC)
    async with database.begin() as connection:
        rows: Sequence[Any] = (await connection.execute(_NEXT, {"site": site, "began": began, "limit": _AT_ONCE})).all()
        decision = decide(PreviewFacts(status=None, deleted=True), rules, now)
        ids = [row.preview_file_id for row in rows]
        await connection.execute(_DELETED, {"site": site, "ids": ids, "decision": decision.value})
        if decision is Decision.PRUNE:
            await ledger.enqueue(connection, [NewTask(sites.subject_of(site, each), "prune", now, {}) for each in ids])
    return bool(rows)


class Reconciler:
    """A role: reconciles a site when it was away for longer than tombstones live."""

    def __init__(self, database: Database, kafka: KafkaSettings, site: str, rules: SyncRules) -> None:
        self._database = database
        self._kafka = kafka
        self._site = site
        self._rules = rules

    async def run(self, stop: asyncio.Event) -> None:
        """Look now and then until `stop`. What is away is looked for again."""
        wait = 0.0
        while not await wait_or_stop(stop, wait):
            wait = _LOOK_EVERY
            try:
                if await self._database.fetch(_IS_DUE, site=self._site):
                    done = await reconcile(self._database, self._kafka, self._site, self._rules)
                    log.info("site_reconciled", site=self._site, live=done.live, gone=done.gone)
            except (KafkaError, TooManyGoneError) as error:
                wait = _AGAIN_AFTER
                log.warning("site_not_reconciled", site=self._site, error=str(error))
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("reconciler_waits_for_database", site=self._site, error=repr(error)[:500])
