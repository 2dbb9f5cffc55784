"""Puts right what a pass found: copies, in bounded parallel, each written down soon after it was made."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from rushes_runtime import fenced_writes
from rushes_runtime.database import Database, answer_of
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import (
    SMALL,
    Condition,
    IfAbsent,
    IfMatch,
    ObjectAbsentError,
    StoreError,
    prove_conditions,
    prove_whole,
)
from rushes_schemas import FailureCode
from rushes_schemas.outputs import BUCKETS

from rushes_syncer import passes, sites
from rushes_syncer.bandwidth import Bandwidth
from rushes_syncer.comparing import Finding
from rushes_syncer.copying import Copied, SmallCopy, copy_object, copy_together
from rushes_syncer.passes import Difference, Order, Pass, Settled
from rushes_syncer.sites import Held
from rushes_syncer.survey import Sides

COPIED: Final = frozenset({Finding.MISSING, Finding.DIFFERENT, Finding.SAME})  # the same too, where it is forced
_TAKEN_AT_ONCE: Final = 500
_TOGETHER: Final = 16  # small objects
_WRITTEN_EVERY: Final = 1.0  # seconds
# So many failures of one kind in a row in a bucket: it is denied, full or away, and what is left of it fails too.
_IN_A_ROW: Final = 20


@dataclass(frozen=True)
class Effort:
    """How hard a pass tries.

    Attributes:
        bandwidth: bytes a second of all copies together; None: no limit.
    """

    order: Order = "biggest"
    workers: int = 30
    attempts: int = 3
    bandwidth: int | None = None


class CopyWatch(Protocol):
    """Who watches copies."""

    def copied(self, size: int) -> None:
        """An object of so many bytes is done, or has failed."""


@dataclass
class _Ends:
    """What came of copies and is not written yet.

    Attributes:
        under_way: the copies, from when they were begun with until their ends are written, by bucket and key.
    """

    database: Database
    going: Pass
    settled: list[Settled] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    under_way: set[tuple[str, str]] = field(default_factory=set)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def keep_writing(self) -> None:
        while True:
            await asyncio.sleep(_WRITTEN_EVERY)
            await self.write()

    async def write(self) -> None:
        """Write what there is. It stays until it is written, should this be cancelled; twice does no harm."""
        async with self._writing:
            settled, held = list(self.settled), list(self.held)
            if settled:
                await answer_of(lambda: self._write(settled, held))
            del self.settled[: len(settled)]
            del self.held[: len(held)]
            self.under_way -= {(each.bucket, each.key) for each in settled}

    async def _write(self, settled: list[Settled], held: list[Held]) -> None:
        async with self.database.begin() as connection:
            await sites.hold(connection, self.going.site, held)
            await passes.settle(connection, self.going.id, settled)


async def copy_differences(
    sides: Sides, going: Pass, effort: Effort, watch: CopyWatch, *, source_site: str | None = None
) -> None:
    """Copy all that a pass has to copy. What fails is written down and stops nothing.

    Args:
        source_site: if the source is another site: which.

    Raises:
        UnfencedStoreError: the site does not keep the conditions of writes.
    """
    await _refuse_unfenced(sides, going)
    threads = ThreadPoolExecutor(effort.workers, thread_name_prefix="copies")
    copies = _Copies(sides, going, effort, watch, source_site, threads)
    writing = asyncio.create_task(copies.ends.keep_writing())
    try:
        await copies.run()
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await copies.ends.write()
        threads.shutdown(wait=False)


async def _refuse_unfenced(sides: Sides, going: Pass) -> None:
    """Nothing is written to a site that would take writes in the wrong order; what it denies fails copy by copy."""
    totals = await passes.totals(sides.database, going.id)
    if any(total.state == "open" and total.finding in COPIED for total in totals):
        for bucket in BUCKETS:
            with suppress(StoreError):
                await prove_conditions(sides.site, [bucket], sides.instance)


class _Copies:
    def __init__(
        self,
        sides: Sides,
        going: Pass,
        effort: Effort,
        watch: CopyWatch,
        source_site: str | None,
        threads: Executor,
    ) -> None:
        self._sides = sides
        self._going = going
        self._effort = effort
        self._bandwidth = Bandwidth(effort.bandwidth)
        self._watch = watch
        self._source_site = source_site
        self._threads = threads
        self._origins: dict[tuple[str, str], Held] = {}
        self._in_a_row: Counter[tuple[str, FailureCode]] = Counter()
        self._given_up: dict[str, str] = {}
        self.ends = _Ends(sides.database, going)

    async def run(self) -> None:
        waiting: asyncio.Queue[Sequence[Difference]] = asyncio.Queue(self._effort.workers)
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._effort.workers):
                workers.create_task(self._work(waiting))
            await self._feed(waiting)
        for bucket, why in self._given_up.items():
            await passes.give_up(self._sides.database, self._going.id, bucket, COPIED, why)

    async def _feed(self, waiting: asyncio.Queue[Sequence[Difference]]) -> None:
        database, effort = self._sides.database, self._effort
        under_way = self.ends.under_way
        while some := await passes.left(
            database,
            self._going,
            COPIED,
            order=effort.order,
            limit=_TAKEN_AT_ONCE,
            but=frozenset(under_way),
            given_up=self._given_up,
        ):
            under_way |= {(each.bucket, each.key) for each in some}
            if self._source_site:
                self._origins |= await _origins(database, self._source_site, some)
            most = 1 if effort.bandwidth else min(_TOGETHER, len(some) // effort.workers)
            for together in _together(some, most):
                await waiting.put(together)
        for _ in range(effort.workers):
            await waiting.put(())

    async def _work(self, waiting: asyncio.Queue[Sequence[Difference]]) -> None:
        while together := await waiting.get():
            copies = await self._copy_together(together) if len(together) > 1 else {}
            for difference in sorted(together, key=lambda each: each.key not in copies):  # at once what is done
                if copy := copies.get(difference.key):
                    self.ends.settled.append(self._copied(difference, copy))
                elif difference.bucket not in self._given_up:
                    self.ends.settled.append(await self._settle(difference))
                self._origins.pop((difference.bucket, difference.key), None)
                self._watch.copied(difference.bytes)

    async def _copy_together(self, together: Sequence[Difference]) -> Mapping[str, Copied]:
        bucket = together[0].bucket
        if bucket in self._given_up:
            return {}
        copies = [SmallCopy(each.key, _over(each), each.sha256) for each in together]
        return await copy_together(self._sides.source, self._sides.site, bucket, copies, self._threads)

    async def _settle(self, difference: Difference) -> Settled:
        bucket, key = difference.bucket, difference.key
        for attempt in range(1, self._effort.attempts + 1):
            try:
                copy = await self._copy(difference, again=attempt > 1)
            except ObjectAbsentError:
                return await self._absent(difference)
            except AttemptFailedError as error:
                if attempt == self._effort.attempts:
                    self._count(difference, error)
                    return Settled(bucket, key, "failed", error.message)
                await asyncio.sleep(min(2**attempt / 4, 10))
            else:
                return self._copied(difference, copy)
        raise AssertionError("each attempt returns or is followed by another")

    def _copied(self, difference: Difference, copy: Copied) -> Settled:
        self._in_a_row.clear()
        self.ends.held.append(self._held(difference, copy))
        return Settled(difference.bucket, difference.key, "copied")

    async def _copy(self, difference: Difference, *, again: bool) -> Copied:
        source, site = self._sides.source, self._sides.site
        bucket, key = difference.bucket, difference.key
        over = _over(difference)
        sha256 = difference.sha256
        if again:
            over = await fenced_writes.seen(site, bucket, key)
            there = await source.stat(bucket, key)
            if there is not None and there.etag != difference.source_etag:
                sha256 = None  # published anew since it was looked at
        return await copy_object(
            source,
            site,
            bucket,
            key,
            over=over,
            size=difference.bytes,
            sha256=sha256,
            bandwidth=self._bandwidth,
        )

    async def _absent(self, difference: Difference) -> Settled:
        """It went between the look and the copy; or the store shows nothing at all."""
        try:
            await prove_whole(self._sides.source, difference.bucket, self._sides.instance)
        except AttemptFailedError as error:
            return Settled(difference.bucket, difference.key, "failed", error.message)
        return Settled(difference.bucket, difference.key, "absent")

    def _count(self, difference: Difference, error: AttemptFailedError) -> None:
        place = (difference.bucket, error.code)
        self._in_a_row[place] += 1
        if self._in_a_row[place] >= _IN_A_ROW:
            why = f"not tried: {_IN_A_ROW} others of the bucket {difference.bucket} had failed: {error.message}"
            self._given_up.setdefault(difference.bucket, why)

    def _held(self, difference: Difference, copy: Copied) -> Held:
        source_etag = copy.source_etag
        if self._source_site:
            origin = self._origins.get((difference.bucket, difference.key))
            source_etag = origin.source_etag if origin and origin.sha256 == copy.sha256 else ""
        return Held(
            difference.bucket,
            difference.key,
            difference.preview_file_id,
            copy.bytes,
            copy.sha256,
            copy.etag,
            source_etag,
        )


def _over(difference: Difference) -> Condition:
    return IfMatch(difference.etag) if difference.etag else IfAbsent()


def _together(some: Sequence[Difference], most: int) -> Iterator[Sequence[Difference]]:
    """Small objects of a bucket, so many at once; each other one by itself."""
    small: dict[str, list[Difference]] = {}
    for each in some:
        if each.bytes > SMALL:
            yield [each]
            continue
        together = small.setdefault(each.bucket, [])
        together.append(each)
        if len(together) >= most:
            yield small.pop(each.bucket)
    yield from small.values()


async def _origins(database: Database, site: str, some: Collection[Difference]) -> Mapping[tuple[str, str], Held]:
    """What the ledger knows of objects at the site that they are copied from."""
    known: dict[tuple[str, str], Held] = {}
    for bucket in {each.bucket for each in some}:
        keys = [each.key for each in some if each.bucket == bucket]
        held = await sites.held_under(database, site, bucket, keys)
        known |= {(bucket, key): row for key, row in held.items()}
    return known
