"""docs/kitsu.md is walked: a studio that has worked without Rushes tries it, tells it of its previews, and goes back.

The commands are the page's, with its ports. They find Rushes on an address of their own, in place of the machine's
loopback, and the addresses and passwords that the page leaves out stand in their environment.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from rushes_embedded.leash import Leash, log_tail

from tests.movies import movie
from tests.vm.walk import Block, blocks
from tests.world import World, eventually
from tests.zou.conftest import Studio
from tests.zou.test_uploads import ended
from tests.zou.zou_client import ROUTES, Client, logged_in

PAGE: Final = Path(__file__).parents[2] / "docs" / "kitsu.md"
_PLACE: Final = f"127.{os.getpid() % 250 + 2}.{os.getpid() // 250 % 250}.1"
# Zou as it was before: a remote worker is not spoken of.
_BEFORE: Final[Mapping[str, str | None]] = dict.fromkeys(
    ("ENABLE_JOB_QUEUE_REMOTE", "JOB_QUEUE_NOMAD_NORMALIZE_JOB", "JOB_QUEUE_NOMAD_TILE_JOB", "JOB_QUEUE_NOMAD_HOST",
     "NOMAD_ADDR")
)  # fmt: skip


class Page:
    """The commands of the page, in a shell that has what the page leaves out."""

    def __init__(self, world: World, studio: Studio, folder: Path) -> None:
        self.world = world
        self._folder = folder
        self._blocks = blocks(PAGE.read_text(encoding="utf-8"))
        self._values = {
            "postgresql+asyncpg://reader:…@localhost/zoudb": studio.zou.database_url,
            "https://kitsu.studio/api": studio.zou.address,
            "127.0.0.1": _PLACE,
            "localhost": _PLACE,
        }
        ours = {name: value for name, value in world.environment.items() if name != "OPERATIONS_PORT"}
        self.environment = {
            **ours,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "NOMAD_HOST": _PLACE,
            "OPERATIONS_HOST": _PLACE,
            "NOMAD_LINGER": "0",
        }

    def scripts(self, section: str, mark: str = "") -> list[str]:
        """The blocks of a section with that mark, with what the page leaves out."""
        found = [block for block in self._blocks if (block.section, block.mark) == (section, mark)]
        assert found, f"{section} has no block {mark}"
        return [self._filled(block) for block in found]

    def _filled(self, block: Block) -> str:
        left_out = "|".join(map(re.escape, self._values))
        return re.sub(left_out, lambda found: self._values[found[0]], block.script)

    async def run(self, script: str) -> str:
        """Run commands that must succeed; what they printed."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", script),
            env=self.environment,
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, f"{script}\n{said.decode()}"
        return said.decode()

    async def start(self, section: str) -> dict[str, Leash]:
        """Start each process of a section, as in a terminal of its own; by name."""
        started = {}
        for line in "\n".join(self.scripts(section, "processes")).splitlines():
            command = line.partition("#")[0].strip()
            name = command.rpartition(" ")[2]
            log = self.world.folder / f"page-{name}.log"
            leash = Leash(["bash", "-c", f"exec env {command}"], log=log, env=self.environment, cwd=self._folder)
            leash.start()
            self.world.processes.append(leash)
            started[name] = leash
            await eventually(partial(_is_up, leash, log))
        return started


def settings(block: str) -> Mapping[str, str | None]:
    """The settings of Zou that a block gives."""
    return dict(line.split("=", 1) for line in block.splitlines())


@pytest.fixture
def page(studio: Studio, tmp_path: Path) -> Iterator[Page]:
    """The page's commands for a Rushes of their own."""
    world = World.make(studio.stack, studio.stack.broker, tmp_path)
    try:
        yield Page(world, studio, tmp_path)
    finally:
        world.stop_processes()


async def test_the_page_leads_from_a_zou_of_its_own_to_rushes_and_back(
    studio: Studio, page: Page, artist: Client, tmp_path: Path
) -> None:
    world = page.world
    before = {**_BEFORE, "FS_BUCKET_PREFIX": world.environment["STORE__BUCKET_PREFIX"]}
    (remote,), (local,) = page.scripts("Trial", "zou"), page.scripts("Way back", "zou")
    count, tell, take_in = page.scripts("The previews that are there already")

    await page.run(*page.scripts("Trial"))
    async with restarted_with(studio, before, artist) as client:
        old = await client.upload(movie(tmp_path / "old.mp4", frames=5))
        assert await ended(client, old) == "ready"

    running = await page.start("Trial")
    async with restarted_with(studio, {**before, **settings(remote)}, artist) as client:
        made = await client.upload(movie(tmp_path / "made.mp4", frames=5))
        assert await ended(client, made) == "ready"
        assert "done" in await page.run(f"rushes-normalizer history {made}")
        (tmp_path / "zou-token").write_text(client.token)
        await page.start("What can be away")
        await eventually(lambda: _said(world, "follow", "zou_found"))

    assert not await world.statuses(old)
    said = await page.run(f"{count}{tell}")
    assert re.match(r"\s*[0-9]+ previews: 1 with a source, 1 with outputs only", said), said
    assert "events were sent; Rushes knew 1 already" in said
    await asyncio.to_thread(running["run"].stop)
    await page.run(take_in)
    assert (await world.statuses(old))[-1].internal_status == "ready"

    async with restarted_with(studio, {**before, **settings(remote), **settings(local)}, artist) as client:
        back = await client.upload(movie(tmp_path / "back.mp4", frames=5))
        assert await ended(client, back) == "ready"
        assert not await world.statuses(back)
        await page.run(*page.scripts("Way back"))
        world.stop_processes()
        for route in ROUTES:
            await client.served(route, made)


@asynccontextmanager
async def restarted_with(studio: Studio, changed: Mapping[str, str | None], artist: Client) -> AsyncIterator[Client]:
    """Zou's web host and RQ worker with other settings; the same artist there."""
    with studio.zou.workers_with(more=0, **changed), studio.zou.web_host_with(**changed) as address:
        async with logged_in(address) as client:
            client.task, client.task_status = artist.task, artist.task_status
            yield client


async def _is_up(process: Leash, log: Path) -> bool:
    """Whether it has started; one that has ended fails the test."""
    assert process.poll() is None, log_tail(log)
    return '"started"' in log.read_text()


async def _said(world: World, name: str, words: str) -> bool:
    return words in (world.folder / f"page-{name}.log").read_text()
