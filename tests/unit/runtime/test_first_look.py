"""The first look at a store that jobs write to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from rushes_runtime.breaker import BreakerPolicy
from rushes_runtime.circuits import Circuits, NeededStore
from rushes_runtime.failures import UnfencedStoreError
from rushes_runtime.store import LocalStore, Unconditional, place_sentinels
from rushes_runtime.store.multipart import LEAST_PART
from rushes_schemas.outputs import BUCKETS
from structlog.testing import capture_logs

from tests.world import eventually

POLICY = BreakerPolicy(failures=3, window=60, first_wait=0.1, longest_wait=30)


class Heedless(LocalStore):
    """A store that takes every write, whatever its condition."""

    def write(self, *where: Any, condition: Any, **rest: Any) -> Any:
        return super().write(*where, condition=Unconditional(), **rest)


class HeedlessInParts(LocalStore):
    """As Ceph is: conditions count only for what is written in one request."""

    def write(self, *where: Any, size: int, condition: Any, **rest: Any) -> Any:
        kept = condition if size <= LEAST_PART else Unconditional()
        return super().write(*where, size=size, condition=kept, **rest)


async def test_a_store_that_ignores_the_conditions_of_writes_is_refused(tmp_path: Path) -> None:
    for kind in (LocalStore, Heedless, HeedlessInParts):
        store = kind(tmp_path / kind.__name__)
        await place_sentinels(store, BUCKETS, "studio")
        circuits = Circuits([NeededStore("lyon", store, "lyon", written=True)], "studio", POLICY)
        if kind is LocalStore:
            await circuits.first_look()
        else:
            with pytest.raises(UnfencedStoreError, match="does not keep the conditions of writes"):
                await circuits.first_look()


async def test_a_store_that_comes_back_is_used_only_when_it_keeps_the_conditions_of_writes(tmp_path: Path) -> None:
    store = Heedless(tmp_path)  # without sentinels, as if it were away
    circuits = Circuits([NeededStore("lyon", store, "lyon", written=True)], "studio", POLICY)
    await circuits.first_look()
    await place_sentinels(store, BUCKETS, "studio")
    with capture_logs() as logs:
        assert await circuits.store_is_back_in("lyon") is not None
        probing = asyncio.create_task(circuits.keep_probing(lambda: None))

        async def said() -> list[Any]:
            return [entry for entry in logs if entry["event"] == "store_is_still_down"]

        first, *_ = await eventually(said)
        probing.cancel()
    assert "does not keep the conditions of writes" in first["error"]
    assert circuits.left_out() == ["lyon"]
