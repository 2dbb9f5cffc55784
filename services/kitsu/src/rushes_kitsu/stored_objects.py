"""What a store holds of previews, in the order of their ids: one listing a kind, read side by side.

Nothing is held in memory but a page of each, however many previews there are.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from rushes_runtime.store import Store, StoreError
from rushes_runtime.store.interface import ObjectStat
from rushes_schemas import PLACES, ObjectKind, StoredFile

_AHEAD: Final = 2_000  # objects of a kind that are read before they are asked for


class _Listing:
    """The objects of one kind."""

    def __init__(self, store: Store, kind: ObjectKind) -> None:
        self._store = store
        self._kind = kind
        self._place = PLACES[kind]
        self._read: asyncio.Queue[tuple[UUID, ObjectStat] | None] = asyncio.Queue(_AHEAD)
        self._next: tuple[UUID, ObjectStat] | None = None
        self._begun = False
        self._reading = asyncio.create_task(self._run())

    async def up_to(self, last: UUID) -> list[tuple[UUID, StoredFile]]:
        """The objects of previews up to this one that were not given yet."""
        if not self._begun:
            self._begun = True
            await self._step()
        found = []
        while self._next and self._next[0] <= last:
            preview, stat = self._next
            stored = StoredFile.model_construct(
                kind=self._kind.value,
                bucket=self._place.bucket,  # type: ignore[arg-type]  # one of `BUCKETS`
                key=stat.key,
                bytes=stat.bytes,
                etag=stat.etag,
                sha256=None,
            )
            found.append((preview, stored))
            await self._step()
        return found

    async def skip_to(self, last: UUID) -> None:
        """Forget the objects of previews up to this one."""
        self._begun = True
        await self._step()
        while self._next and self._next[0] <= last:
            await self._step()

    async def close(self) -> None:
        """Stop reading."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _step(self) -> None:
        self._next = await self._read.get()
        if self._next is None:
            await self._reading  # raises what ended it

    async def _run(self) -> None:
        prefix = f"{self._place.prefix}-"
        try:
            async for stat in self._store.list(self._place.bucket, prefix):
                # `thumbnails-` finds `thumbnails-square-…`, too: what has no id behind its prefix is not of this kind.
                if preview := _as_id(stat.key.removeprefix(prefix)):
                    await self._read.put((preview, stat))
        except StoreError:
            await self._read.put(None)  # whoever asks next hears of it
            raise
        await self._read.put(None)


class Objects:
    """What a store holds of all previews."""

    def __init__(self, listings: list[_Listing]) -> None:
        self._listings = listings

    async def up_to(self, last: UUID) -> dict[UUID, list[StoredFile]]:
        """The objects of each preview up to this one, without those that were given before.

        Raises:
            StoreError: the store gave no usable answer.
        """
        by_preview: dict[UUID, list[StoredFile]] = defaultdict(list)
        for found in await asyncio.gather(*(listing.up_to(last) for listing in self._listings)):
            for preview, stored in found:
                by_preview[preview].append(stored)
        return by_preview

    async def skip_to(self, last: UUID) -> None:
        """Begin behind this preview.

        Raises:
            StoreError: the store gave no usable answer.
        """
        await asyncio.gather(*(listing.skip_to(last) for listing in self._listings))


@asynccontextmanager
async def objects_of(store: Store) -> AsyncIterator[Objects]:
    """All previews' objects, for as long as the block runs."""
    listings = [_Listing(store, kind) for kind in ObjectKind]
    try:
        yield Objects(listings)
    finally:
        await asyncio.gather(*(listing.close() for listing in listings))


def _as_id(text: str) -> UUID | None:
    if len(text) != 36:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None
