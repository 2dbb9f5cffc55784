"""A deep look: the bytes of both sides are read, and their SHA-256 compared. No copy is kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import ObjectAbsentError, Store

from rushes_syncer import sites
from rushes_syncer.comparing import Pair, is_same
from rushes_syncer.objects import PreviewObject
from rushes_syncer.sites import Held
from rushes_syncer.survey import Sides


@dataclass(frozen=True)
class _Hashed:
    """What was read."""

    bytes: int
    etag: str
    sha256: str


class BytesRead:
    """Reads pairs, so many at once; what it proves the same goes into the ledger.

    Attributes:
        failures: objects that could not be read, with the reason.
    """

    def __init__(self, sides: Sides, name: str, workers: int) -> None:
        self._sides = sides
        self._name = name
        self._room = asyncio.Semaphore(workers)
        self.failures: list[str] = []

    async def differing(
        self, bucket: str, pairs: Sequence[tuple[Pair, PreviewObject]], held: Mapping[str, Held]
    ) -> set[str]:
        """The keys of pairs whose bytes differ. An object that changes while it is read is left for another look."""
        read = await asyncio.gather(*(self._read(bucket, pair) for pair, _ in pairs))
        differing: set[str] = set()
        proven: list[Held] = []
        for (pair, named), both in zip(pairs, read, strict=True):
            if both is None:
                continue
            there, here = both
            if there.sha256 != here.sha256:
                differing.add(pair.key)
            elif not self._is_known(pair, held.get(pair.key)):
                proven.append(
                    Held(bucket, pair.key, named.preview_file_id, here.bytes, here.sha256, here.etag, there.etag)
                )
        async with self._sides.database.begin() as connection:
            await sites.hold(connection, self._name, proven)
        return differing

    def _is_known(self, pair: Pair, verified: Held | None) -> bool:
        assert pair.there
        assert pair.here
        return verified is not None and is_same(pair.there, pair.here, verified, None)

    async def _read(self, bucket: str, pair: Pair) -> tuple[_Hashed, _Hashed] | None:
        assert pair.there
        assert pair.here
        async with self._room:
            try:
                there, here = await asyncio.gather(
                    _hash(self._sides.source, bucket, pair.key), _hash(self._sides.site, bucket, pair.key)
                )
            except ObjectAbsentError:
                return None
            except AttemptFailedError as error:
                self.failures.append(f"{bucket}/{pair.key}: {error.message}")
                return None
        changed = (there.etag, here.etag) != (pair.there.etag, pair.here.etag)
        return None if changed else (there, here)


async def _hash(store: Store, bucket: str, key: str) -> _Hashed:
    sha256 = hashlib.sha256()
    async with store.read(bucket, key) as reading:
        async for chunk in reading.chunks:
            await asyncio.to_thread(sha256.update, chunk)
    return _Hashed(reading.stat.bytes, reading.stat.etag, sha256.hexdigest())
