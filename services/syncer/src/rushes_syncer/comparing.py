"""Two listings in key order become pairs, and each pair a finding. Memory is that of a few chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from enum import StrEnum
from operator import attrgetter
from typing import Final, NamedTuple

from rushes_runtime.store import ObjectStat, StoreUnavailableError
from rushes_schemas import PreviewStatus

from rushes_syncer.deciding import Decision, PreviewFacts
from rushes_syncer.sites import Held

CHUNK: Final = 1000  # objects of a listing that are looked at together; as many as a page of S3 has


class Finding(StrEnum):
    """What a look at both sides shows of one object."""

    SAME = "same"
    MISSING = "missing"
    DIFFERENT = "different"
    EXTRA = "extra"
    KEPT = "kept"  # the source has it no more, and the rules let it stay
    SKIPPED = "skipped"  # the rules leave it out


class Pair(NamedTuple):
    """One key as both sides show it; at least one does."""

    key: str
    there: ObjectStat | None
    here: ObjectStat | None


def is_same(there: ObjectStat, here: ObjectStat, verified: Held | None, origin: Held | None) -> bool:
    """Whether the site's object is the source's, as far as listings and ledger tell.

    Args:
        verified: the last verified copy at the site.
        origin: if the source is another site: the last verified copy there.
    """
    if here.bytes != there.bytes:
        return False
    if verified is None or (origin is None and not verified.source_etag and verified.etag == here.etag):
        return True
    if origin is None:
        return (verified.source_etag, verified.etag) == (there.etag, here.etag)
    if (origin.etag, verified.etag) != (there.etag, here.etag):
        return False
    return origin.sha256 == verified.sha256


def find(
    pair: Pair, preview: PreviewFacts, decision: Decision, takes: bool, verified: Held | None, origin: Held | None
) -> Finding:
    """What a pair shows.

    Args:
        preview: whose object it is.
        decision: about that preview.
        takes: whether the site takes objects of this kind.
    """
    if pair.here and decision is Decision.PRUNE:
        return Finding.EXTRA
    if pair.there is None:
        may_stay = preview.deleted or preview.status == PreviewStatus.MISSING
        return Finding.KEPT if may_stay else Finding.EXTRA
    if decision is not Decision.COPY or not takes:
        return Finding.SKIPPED
    if pair.here is None:
        return Finding.MISSING
    return Finding.SAME if is_same(pair.there, pair.here, verified, origin) else Finding.DIFFERENT


async def pairs(there: AsyncIterator[ObjectStat], here: AsyncIterator[ObjectStat]) -> AsyncGenerator[list[Pair]]:
    """Two listings in key order, merged, some at a time; both are read ahead.

    Raises:
        StoreError: a listing fails, or is not in order.
    """
    left, right = _Side(there), _Side(here)
    try:
        while await left.fill() | await right.fill():
            # Beyond the last key of a chunk the next one of that side may have keys that come first.
            ends = [side.chunk[-1].key for side in (left, right) if side.chunk and not side.ended]
            end = min(ends, default=None)
            yield list(_merge(left.take(end), right.take(end)))
    finally:
        await left.close()
        await right.close()


def _merge(there: list[ObjectStat], here: list[ObjectStat]) -> Iterator[Pair]:
    others = {stat.key: stat for stat in here}
    both = [Pair(stat.key, stat, others.pop(stat.key, None)) for stat in there]
    both += [Pair(stat.key, None, stat) for stat in others.values()]
    return iter(sorted(both, key=attrgetter("key")))


class _Side:
    """One listing: the chunk that is looked at, and the next one on its way."""

    def __init__(self, listing: AsyncIterator[ObjectStat]) -> None:
        self._listing = listing
        self._last = ""
        self._next = asyncio.create_task(self._read())
        self.chunk: list[ObjectStat] = []
        self.ended = False

    async def fill(self) -> bool:
        """Have a chunk, if there is any left; whether there is."""
        if not self.chunk and not self.ended:
            self.chunk = await self._next
            self.ended = len(self.chunk) < CHUNK
            if not self.ended:
                self._next = asyncio.create_task(self._read())
        return bool(self.chunk)

    def take(self, end: str | None) -> list[ObjectStat]:
        """What the chunk has up to a key, which stays no longer."""
        count = len(self.chunk) if end is None else sum(stat.key <= end for stat in self.chunk)
        taken, self.chunk = self.chunk[:count], self.chunk[count:]
        return taken

    async def _read(self) -> list[ObjectStat]:
        chunk: list[ObjectStat] = []
        async for stat in self._listing:
            if stat.key <= self._last:
                raise StoreUnavailableError(f"a listing has {stat.key} behind {self._last}: it must be in key order")
            self._last = stat.key
            chunk.append(stat)
            if len(chunk) == CHUNK:
                break
        return chunk

    async def close(self) -> None:
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)
        if isinstance(self._listing, AsyncGenerator):
            await self._listing.aclose()
