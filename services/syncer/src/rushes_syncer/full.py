"""A full pass: list both sides, compare, copy only what differs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from rushes_runtime import fenced_writes
from rushes_runtime.database import Database
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import Condition, IfAbsent, IfMatch, ObjectAbsentError, ObjectStat, Store, prove_whole
from rushes_schemas import PLACES, ObjectKind
from rushes_schemas.outputs import BUCKETS

from rushes_syncer import sites
from rushes_syncer.abandoned import tidy
from rushes_syncer.copying import copy_object, kind_of_key
from rushes_syncer.deciding import SyncRules, skips
from rushes_syncer.sites import Held

_KNOWN: Final = "SELECT preview_file_id, status, project_id, deleted FROM site_preview WHERE site = :site"
_HELD: Final = "SELECT bucket, key, etag, source_etag FROM held WHERE site = :site"


Reason = Literal["lacking", "different", "forced"]


@dataclass(frozen=True)
class PassOptions:
    """What a pass covers, and how hard it tries."""

    rules: SyncRules
    project_id: UUID | None = None
    force: bool = False
    dry_run: bool = False
    workers: int = 30
    attempts: int = 3


@dataclass
class PassReport:
    """What a pass came to: counts of objects, and the failures by name."""

    site: str
    looked_at: int = 0
    held: int = 0
    skipped: int = 0
    copied: int = 0
    copied_bytes: int = 0
    absent: int = 0
    still_lacking: int = 0
    still_different: int = 0
    failures: list[str] = field(default_factory=list)


class PassWatch(Protocol):
    """Who watches a pass."""

    def found(self, objects: int, size: int) -> None:
        """Both sides are compared: so many objects of so many bytes are to be copied."""

    def copied(self, size: int) -> None:
        """An object of so many bytes is done, or has failed."""


@dataclass(frozen=True)
class _Difference:
    bucket: str
    stat: ObjectStat
    preview_file_id: UUID
    over: Condition
    counts_as: Reason


async def full_pass(
    database: Database,
    main: Store,
    site: Store,
    name: str,
    options: PassOptions,
    *,
    instance: str,
    scratch: Path,
    watch: PassWatch,
) -> PassReport:
    """Make a site hold what the main store holds.

    Previews that the ledger does not know are copied: their status is nobody's business but Zou's.

    Raises:
        StoreError: a side cannot be listed.
    """
    report = PassReport(name)
    differences: list[_Difference] = []
    for bucket in BUCKETS:
        await prove_whole(main, bucket, instance)
        await prove_whole(site, bucket, instance)
        differences += await _compare(database, main, site, bucket, name, options, report)
    differences.sort(key=lambda each: -each.stat.bytes)
    watch.found(len(differences), sum(each.stat.bytes for each in differences))
    if options.dry_run:
        report.copied = len(differences)
        report.copied_bytes = sum(each.stat.bytes for each in differences)
        return report
    await tidy(name, site)
    scratch.mkdir(parents=True, exist_ok=True)
    room = asyncio.Semaphore(options.workers)

    async def one(difference: _Difference) -> None:
        async with room:
            await _copy(database, main, site, difference, options, report, scratch)
            watch.copied(difference.stat.bytes)

    async with asyncio.TaskGroup() as copies:
        for difference in differences:
            copies.create_task(one(difference))
    if options.project_id is None:
        async with database.begin() as connection:
            await sites.passed(connection, name, lacking=report.still_lacking, different=report.still_different)
    return report


async def _compare(
    database: Database, main: Store, site: Store, bucket: str, name: str, options: PassOptions, report: PassReport
) -> list[_Difference]:
    known = {row.preview_file_id: row for row in await database.fetch(_KNOWN, site=name)}
    verified = {(row.bucket, row.key): (row.source_etag, row.etag) for row in await database.fetch(_HELD, site=name)}
    there, here = await asyncio.gather(_listing(main, bucket), _listing(site, bucket))
    differences = []
    for key, stat in there.items():
        kind = kind_of_key(bucket, key)
        preview_file_id = _id_of(kind, key) if kind else None
        if kind is None or preview_file_id is None:
            continue  # a sentinel, an avatar: no preview's object
        report.looked_at += 1
        row = known.get(preview_file_id)
        if _is_skipped(kind, row, options):
            report.skipped += 1
            continue
        held = here.get(key)
        same = _same(stat, held, verified.get((bucket, key)))
        if same and not options.force:
            report.held += 1
            continue
        over = IfMatch(held.etag) if held else IfAbsent()
        counts_as: Reason = "forced" if same else "different" if held else "lacking"
        differences.append(_Difference(bucket, stat, preview_file_id, over, counts_as))
    return differences


def _is_skipped(kind: ObjectKind, row: Any, options: PassOptions) -> bool:
    """Whether the options leave an object out; `row` is its preview's in the ledger, if it is known there."""
    if options.project_id and (row is None or row.project_id != options.project_id):
        return True
    if kind is ObjectKind.SOURCE_MOVIE and not options.rules.sync_source_movies:
        return True
    return row is not None and skips(row.status, options.rules) is not None


def _same(there: ObjectStat, here: ObjectStat | None, verified: tuple[str, str] | None) -> bool:
    """Whether the site's object is the main store's: by the etags of the last verified copy, else by size."""
    if here is None or here.bytes != there.bytes:
        return False
    return verified is None or verified == (there.etag, here.etag)


async def _listing(store: Store, bucket: str) -> dict[str, ObjectStat]:
    return {stat.key: stat async for stat in store.list(bucket)}


def _id_of(kind: ObjectKind, key: str) -> UUID | None:
    try:
        return UUID(key.removeprefix(f"{PLACES[kind].prefix}-"))
    except ValueError:
        return None


async def _copy(
    database: Database,
    main: Store,
    site: Store,
    difference: _Difference,
    options: PassOptions,
    report: PassReport,
    scratch: Path,
) -> None:
    bucket, key = difference.bucket, difference.stat.key
    for attempt in range(1, options.attempts + 1):
        try:
            over = difference.over if attempt == 1 else await fenced_writes.seen(site, bucket, key)
            copy = await copy_object(main, site, bucket, key, scratch, over=over)
        except ObjectAbsentError:
            report.absent += 1
            return
        except AttemptFailedError as error:
            if attempt == options.attempts:
                report.failures.append(f"{bucket}/{key}: {error.message}")
                report.still_lacking += difference.counts_as == "lacking"
                report.still_different += difference.counts_as == "different"
                return
            await asyncio.sleep(min(2**attempt / 4, 10))
        else:
            held = Held(bucket, key, difference.preview_file_id, copy.bytes, copy.sha256, copy.etag, copy.source_etag)
            async with database.begin() as connection:
                await sites.hold(connection, report.site, [held])
            report.copied += 1
            report.copied_bytes += copy.bytes
            return
