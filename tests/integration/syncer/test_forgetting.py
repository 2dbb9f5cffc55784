"""A site that was removed is forgotten, and no other; under its name a new one may come."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from rushes_runtime.figures import Figures
from rushes_runtime.store import open_store
from rushes_schemas import PreviewStatus
from rushes_syncer import site_states

from tests.integration.syncer.follower import change, follower, keys_of
from tests.world import World, eventually

pytestmark = pytest.mark.apache_kafka

# Rows of a site, by table.
_ROWS = """
    SELECT (SELECT count(*) FROM site WHERE name = :site) AS site,
        (SELECT count(*) FROM site_preview WHERE site = :site) AS previews,
        (SELECT count(*) FROM held WHERE site = :site) AS objects,
        (SELECT count(*) FROM site_partition WHERE site = :site) AS partitions,
        (SELECT count(*) FROM pass WHERE site = :site) AS passes,
        (SELECT count(*) FROM task WHERE subject LIKE :site || '/%') AS jobs,
        (SELECT count(*) FROM attempt WHERE subject LIKE :site || '/%') AS attempts,
        (SELECT count(*) FROM inbox WHERE consumer LIKE '%.syncer.' || :site) AS events"""


def _last_pass(site: str) -> float | None:
    """What *SyncStale* is made of."""
    return REGISTRY.get_sample_value("rushes_sync_full_pass_timestamp_seconds", {"site": site})


async def test_a_removed_site_is_forgotten_once_nobody_works_for_it_and_comes_back_as_a_new_one(world: World) -> None:
    two = world.with_settings(SITES__OSLO__KIND="local", SITES__OSLO__ROOT=str(world.folder / "oslo"))
    await two.prepare()
    previews = [uuid4() for _ in range(3)]
    async with follower(world) as lyon:

        async def rows(site: str) -> dict[str, Any]:
            (found,) = await lyon.database.fetch(_ROWS, site=site)
            return dict(found._mapping)

        async def both_are_done() -> bool:
            jobs = await lyon.database.fetch("SELECT 1 FROM task WHERE state = 'done'")
            return len(jobs) == 6 and all([(await rows(site))["partitions"] for site in ("lyon", "oslo")])

        files = {each: await lyon.publish(each, b"x") for each in previews}
        await world.send(*(change(each, 2, PreviewStatus.READY, files[each]) for each in previews))
        process = two.process("rushes-syncer", "run")
        await eventually(both_are_done)
        assert (await two.command("rushes-syncer", "verify"))[0] == 0
        whole = {site: await rows(site) for site in ("lyon", "oslo")}
        assert all(whole["oslo"].values()), whole

        code, _, said = await two.command("rushes-syncer", "forget", "oslo")
        assert (code, "oslo is in SITES" in said) == (2, True)
        code, _, said = await world.command("rushes-syncer", "forget", "oslo")
        assert (code, "oslo is alive: a process followed the topic for it" in said) == (1, True)
        process.stop()
        figures = Figures(lyon.database, site_states.figures)
        await figures.sample()
        assert _last_pass("oslo")

        await lyon.database.fetch("UPDATE site SET polled_at = now() - interval '4 minutes' RETURNING 1")
        code, said, _ = await world.command("rushes-syncer", "forget", "oslo", "--dry-run")
        assert (code, "would forget 3 previews, 6 objects" in said) == (0, True), said
        assert {site: await rows(site) for site in ("lyon", "oslo")} == whole
        code, said, errors = await world.command("rushes-syncer", "forget", "oslo", "--json")
        assert code == 0, errors
        assert {name: json.loads(said)[name] for name in ("previews", "objects", "jobs")} == {
            "previews": 3, "objects": 6, "jobs": 3}  # fmt: skip
        assert not any((await rows("oslo")).values())
        assert await rows("lyon") == whole["lyon"]
        figures._count_from = 0.0
        await figures.sample()
        assert (_last_pass("oslo"), bool(_last_pass("lyon"))) == (None, True)
        code, said, _ = await world.command("rushes-syncer", "forget", "oslo")
        assert (code, "nothing is known of it" in said) == (0, True)
        async with open_store(two.syncer_settings().sites["oslo"]) as oslo:
            assert len(await keys_of(oslo)) == 6, "its store keeps what it holds"

        two.process("rushes-syncer", "run", "--site", "oslo")
        try:
            await eventually(lambda: rows("oslo"), lambda back: back["previews"] == 3)
        finally:
            two.stop_processes()


async def test_the_last_site_is_forgotten_though_no_settings_name_any(world: World) -> None:
    async with follower(world) as lyon:
        async with lyon.database.begin() as connection:
            await site_states.first_seen(connection, "lyon")
        none = {name: value for name, value in world.environment.items() if not name.startswith("SITES__")}
        nowhere = World(world.broker, world.folder, world.prefix, none, world.processes)
        code, _, errors = await nowhere.command("rushes-syncer", "forget", "lyon")
        assert code == 0, errors
        assert not await lyon.database.fetch("SELECT 1 FROM site")
