"""Every query of a dashboard and of an alert, by a real Prometheus that scrapes services at work."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from rushes_normalizer.api.access import hash_of
from rushes_normalizer.kinds import UploadKind
from rushes_normalizer.publish import store_upload
from rushes_schemas import RenormalizeRequested
from rushes_schemas.events import Priority

from helm.dashboards.boards import BOARDS
from helm.dashboards.panels import Query
from tests.chart.rendering import find, render
from tests.integration.kitsu.bridge import Bridge, kitsu_database, logged
from tests.movies import ffmpeg, make_clip
from tests.prometheus_server import NAMESPACE, PrometheusServer, Target, prometheus
from tests.promtool import needs_prometheus
from tests.world import World, eventually, free_port, put_source, upload
from tests.zou_stand_in import zou_stand_in

pytestmark = needs_prometheus
# What has nothing to show in a studio where all goes well, by metric, and why.
EMPTY = {
    "rushes_store_probes_total": "only stores that are down are probed",
    "rushes_kitsu_registered_total": "only a Zou with a database tells of what it handled itself",
}
MONITORED = {"podMonitor": {"enabled": True}, "alerts": {"enabled": True}}


def _processes(world: World) -> list[Target]:
    """All components, as the chart runs them."""
    control, worker, syncer, kitsu, follow, api = (free_port() for _ in range(6))
    world.process("rushes-normalizer", "api", log="api", OPERATIONS_PORT=str(api))
    world.process(
        "rushes-normalizer", "run", "--roles", "intake,relay,janitor", log="control", OPERATIONS_PORT=str(control)
    )
    world.process("rushes-normalizer", "run", "--roles", "worker", log="worker", OPERATIONS_PORT=str(worker))
    world.process("rushes-syncer", "run", log="syncer", OPERATIONS_PORT=str(syncer))
    world.process("rushes-kitsu", "serve", log="kitsu", OPERATIONS_PORT=str(kitsu))
    world.process("rushes-kitsu", "follow", log="follow", OPERATIONS_PORT=str(follow))
    return [
        Target(kitsu, "kitsu", "kitsu-1"),
        Target(follow, "kitsu-follow", "kitsu-follow-1"),
        Target(api, "api", "api-1"),
        Target(control, "control", "control-1"),
        Target(worker, "worker", "worker-1", pool="general"),
        Target(syncer, "syncer", "syncer-1"),
    ]


async def _load(world: World, folder: Path, seen: PrometheusServer) -> None:
    """Uploads good and bad, a bulk pass, a record that is no event; all are done when it returns."""
    movie, picture, junk = folder / "movie.mp4", folder / "picture.png", folder / "junk.mp4"
    make_clip(movie, "320x180", seconds=2)
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x180", "-frames:v", "1", picture)
    junk.write_bytes(b"no movie" * 100)
    await eventually(lambda: seen.query("count(up == 1) == 6"))  # else nothing is seen to become more
    events = [upload() for _ in range(4)]
    still, broken, absent = upload(extension="png"), upload(), upload()
    async with world.store() as store:
        for event in events:
            await put_source(store, event.preview_file_id, movie)
        await put_source(store, broken.preview_file_id, junk)
        await store_upload(store, picture, still.preview_file_id, "png", UploadKind.PICTURE)
    await world.send(*events, still, broken, absent)
    async with world.producer() as producer:
        await producer.send_and_wait(world.prefix + "preview-uploaded", value=b"no event")
    await _dispatched(world, movie)
    await _ended(seen, ready=6, broken=1, missing=1)
    again = [_renormalize(event.preview_file_id) for event in (*events, absent)]
    await world.send(*again)
    await _ended(seen, ready=10, broken=1, missing=2)
    await _called(world)
    await eventually(lambda: seen.query("rushes_api_streams_ended_total"))  # else no second one is seen to be more
    await _called(world)


async def _dispatched(world: World, movie: Path) -> None:
    """A movie comes from Zou, is polled until it is made, and Zou agrees."""
    async with aiohttp.ClientSession() as client:
        bridge = Bridge(world, client, f"http://127.0.0.1:{world.environment['NOMAD_PORT']}")
        await eventually(lambda: logged(world, "nomad_served"))
        preview = uuid4()
        async with world.store() as store:
            await put_source(store, preview, movie)
        job = await bridge.dispatched(preview)
        await eventually(lambda: bridge.state(job), lambda state: state == "Complete")


@asynccontextmanager
async def _whole_studio(world: World) -> AsyncIterator[World]:
    """A world that is prepared for all services, with a Zou to follow and a client that may call the read API."""
    await world.prepare()
    access = {"tokens": [{"name": "wall", "sha256": hash_of("token"), "projects": "all"}]}
    api = {"API_PORT": str(free_port()), "API_ACCESS": json.dumps(access), "API_LINGER": "0"}
    async with kitsu_database(world), zou_stand_in() as zou:
        kitsu = {"NOMAD_PORT": str(free_port()), "NOMAD_LINGER": "0", "ZOU_URL": zou.address, "ZOU_TOKEN": "t"}
        yield world.with_settings(FOLLOW_INTERVAL="0.5", **kitsu, **api)


async def _called(world: World) -> None:
    """A client reads previews, and listens to changes for a moment."""
    address, shown = f"http://127.0.0.1:{world.environment['API_PORT']}", {"Authorization": "Bearer token"}
    async with aiohttp.ClientSession(address, headers=shown) as client:
        for _ in range(3):
            async with client.get("/previews") as answer:
                assert len((await answer.json())["previews"]) == 8
        async with client.get("/status-changes") as stream:
            assert (await stream.content.readline()).startswith(b"retry")


def _renormalize(preview_file_id: UUID) -> RenormalizeRequested:
    return RenormalizeRequested(
        preview_file_id=preview_file_id, reason="drill", requested_by=str(uuid4()), priority=Priority.BULK
    )


async def _ended(seen: PrometheusServer, **outcomes: int) -> None:
    async def counts() -> dict[str, int]:
        series = await seen.query('sum by (outcome) (rushes_jobs_total{kind!="copy"})')
        return {each["metric"]["outcome"]: int(each["value"][1]) for each in series}

    await eventually(counts, lambda found: all(found.get(name, 0) >= number for name, number in outcomes.items()))


def _is_empty(series: Sequence[dict[str, Any]]) -> bool:
    return not any(each["value"][1] != "NaN" for each in series)


def _panels() -> list[tuple[str, str, Query]]:
    return [
        (board.title, panel.title, query)
        for board in BOARDS.values()
        for row in board.rows
        for panel in row.panels
        for query in panel.queries
    ]


async def test_every_panel_shows_something_and_every_rule_is_evaluated(world: World, tmp_path: Path) -> None:
    rules = find(render(MONITORED), "PrometheusRule")["spec"]
    async with _whole_studio(world) as studio, prometheus(tmp_path / "prometheus", rules) as seen:
        try:
            seen.scrape(*_processes(studio))
            await _load(studio, tmp_path, seen)
            await eventually(lambda: seen.query("sum(rushes_sync_objects_total{outcome='copied'}) > 0"))
            await eventually(lambda: seen.query("sum(rushes_kitsu_reconciled_total{outcome='agrees'}) > 0"))
            await asyncio.sleep(2)  # two more scrapes and evaluations, for rates of what happened last

            silent = []
            for board, panel, query in _panels():
                expression = query.for_grafana().replace("$namespace", NAMESPACE).replace("$__rate_interval", "5m")
                if _is_empty(await seen.query(expression)) and not any(name in expression for name in EMPTY):
                    silent.append(f"{board} / {panel}: {expression}")
            assert silent == []

            health = await seen.rules()
            assert {name: rule["lastError"] for name, rule in health.items() if rule["health"] != "ok"} == {}
            chosen = {each for rule in health.values() for each in re.findall(r"rushes_\w+\{[^}]*\}", rule["query"])}
            assert len(chosen) > 20
            assert [each for each in sorted(chosen) if _is_empty(await seen.query(each))] == []
            assert not [name for name, rule in health.items() if rule["state"] == "firing" and name != "DeadLetters"]
        finally:
            studio.stop_processes()


async def test_no_label_of_a_service_at_work_holds_an_id(world: World, tmp_path: Path) -> None:
    async with _whole_studio(world) as studio, prometheus(tmp_path / "prometheus", {"groups": []}) as seen:
        try:
            seen.scrape(*_processes(studio))
            await _load(studio, tmp_path, seen)
            series = await seen.query('{__name__=~"rushes_.+"}')
        finally:
            studio.stop_processes()
    values = {value for each in series for name, value in each["metric"].items() if name != "__name__"}
    assert len(series) > 100
    assert [value for value in values if re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|[0-9a-f]{16}", value)] == []
