"""Faults of the sites' own stores: what the one in S3 answers, and a folder that is away or may only be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.plan import FOLDER_SITE, S3_SITE, Fault
from tests.faults.scene import Scene


async def site_trouble(scene: Scene, fault: Fault) -> None:
    """The kind says how: `site_denied`, `site_silent`."""
    with scene.stage.s3.trouble(fault.kind.removeprefix("site_"), frozenset({fault.target})):
        await asyncio.sleep(fault.seconds)


async def folder_away(scene: Scene, fault: Fault) -> None:
    """The site's disk is not mounted: where it was is an empty folder."""
    async with scene.stage.lyon_disk.away():
        await asyncio.sleep(fault.seconds)


async def folder_read_only(scene: Scene, fault: Fault) -> None:
    """The site's disk takes no writes, as after an error of its file system."""
    async with scene.stage.lyon_disk.read_only():
        await asyncio.sleep(fault.seconds)


@asynccontextmanager
async def dead(scene: Scene, site: str) -> AsyncIterator[None]:
    """While the block runs, a site's store gives no answer, or is not there."""
    if site == S3_SITE:
        with scene.stage.s3.trouble("silent", frozenset({site})):
            yield
    else:
        assert site == FOLDER_SITE
        async with scene.stage.lyon_disk.away():
            yield
