"""Copies to a folder that is full, and to one that may only be read: on a disk of this process's own. Needs root."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import IfAbsent, LocalStore
from rushes_syncer.copying import copy_object

from tests.faults.private_mounts import fill, may_mount, mount_small_disk
from tests.integration.syncer.copies import content, put

KEY = "previews-00000000-0000-4000-8000-000000000007"


async def _outcomes(folder: Path) -> dict[str, object]:
    main, site = LocalStore(folder / "main"), LocalStore(folder / "site")
    for store in (main, site):
        await store.ensure_bucket("movies")
    await put(main, KEY, content(3 << 20))

    async def outcome() -> str:
        try:
            await copy_object(main, site, "movies", KEY, over=IfAbsent())
        except AttemptFailedError as error:
            return error.code.value
        return "copied"

    ballast = fill(folder / "site")
    full = await outcome()
    left = sum(
        path.is_file() for path in (folder / "site" / "movies").rglob("*") if not path.name.startswith(".rushes-")
    )
    ballast.unlink()
    await _remount(folder / "site", "ro")
    read_only = await outcome()
    await _remount(folder / "site", "rw")
    return {"full": full, "left": left, "read_only": read_only, "then": await outcome()}


async def _remount(folder: Path, how: str) -> None:
    mount = await asyncio.create_subprocess_exec("mount", "-o", f"remount,{how}", folder)
    assert await mount.wait() == 0


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if lacking := may_mount():
        print(json.dumps({"lacking": lacking}))
    else:
        mount_small_disk(place / "site")
        print(json.dumps(asyncio.run(_outcomes(place))))
