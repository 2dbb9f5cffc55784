"""The first look at a store that jobs write to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rushes_runtime.breaker import BreakerPolicy
from rushes_runtime.circuits import Circuits, NeededStore
from rushes_runtime.store import LocalStore, Unconditional, place_sentinels
from rushes_schemas.outputs import BUCKETS
from structlog.testing import capture_logs

POLICY = BreakerPolicy(failures=3, window=60, first_wait=5, longest_wait=30)


class Heedless(LocalStore):
    """A store that takes every write, whatever its condition."""

    async def upload(self, *where: Any, condition: Any, **rest: Any) -> Any:
        return await super().upload(*where, condition=Unconditional(), **rest)


@pytest.mark.parametrize(("kind", "warnings"), [(LocalStore, 0), (Heedless, len(BUCKETS))])
async def test_a_store_that_ignores_the_conditions_of_writes_is_named(
    kind: type[LocalStore], warnings: int, tmp_path: Path
) -> None:
    store = kind(tmp_path)
    await place_sentinels(store, BUCKETS, "studio")
    circuits = Circuits([NeededStore("main", store, written=True)], "studio", POLICY)
    with capture_logs() as logs:
        await circuits.first_look()
    assert [entry["event"] for entry in logs] == ["store_ignores_conditions_of_writes"] * warnings
