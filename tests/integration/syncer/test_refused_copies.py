"""Sites that take no copy: each failure has its own code, and leaves nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from rushes_embedded.stack import Stack
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import IfAbsent, LocalStore, open_store
from rushes_schemas import FailureCode
from rushes_syncer.copying import copy_object

from tests.integration.syncer.copies import content, put
from tests.integration.syncer.cramped import KEY
from tests.world import World


async def test_a_full_folder_and_one_that_may_only_be_read_are_told_apart_and_recover(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.syncer.cramped", str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    outcomes = json.loads(out)
    if lacking := outcomes.get("lacking"):
        pytest.skip(lacking)
    assert outcomes == {"full": "out_of_disk", "left": 0, "read_only": "storage_denied", "then": "copied"}


@pytest.mark.parametrize("size", [20_000, 11 << 20], ids=["whole", "in parts"])
async def test_a_bucket_that_takes_no_writes_of_this_user_is_denied(
    world: World, stack: Stack, tmp_path: Path, size: int
) -> None:
    main = LocalStore(tmp_path / "main")
    await main.ensure_bucket("movies")
    await put(main, KEY, content(size))
    reader = stack.objects.reader
    settings = world.with_settings(
        STORE__ACCESS_KEY_ID=reader.access_key_id, STORE__SECRET_ACCESS_KEY=reader.secret_access_key
    ).normalizer_settings()
    async with world.store() as there, open_store(settings.store) as site:
        with pytest.raises(AttemptFailedError) as failure:
            await copy_object(main, site, "movies", KEY, over=IfAbsent())
        assert await there.stat("movies", KEY) is None
    assert failure.value.code is FailureCode.STORAGE_DENIED
