"""Status changes as they happen: to whom they concern, with nothing lost to who comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY
from rushes_normalizer.previews import PreviewRow
from rushes_schemas import PreviewStatus

from tests.integration.api.consumer import (
    ALL,
    ONE,
    OTHER_PROJECT,
    PROJECT,
    Consumer,
    Stream,
    announce,
    change,
    served,
)
from tests.integration.normalizer.kept_previews import kept_preview
from tests.world import PATIENCE, World, eventually


def _versions(row: PreviewRow, count: int) -> list[PreviewRow]:
    rows = [row]
    for _ in range(count - 1):
        rows.append(rows[-1].moved(status=PreviewStatus.READY))
    return rows


async def _told(stream: Stream, count: int) -> list[tuple[str, int]]:
    found = [await stream.event() for _ in range(count)]
    assert {each.event for each in found} <= {"status-changed"}, found
    return [(each.data["id"], each.data["version"]) for each in found]


def _read() -> float:
    return REGISTRY.get_sample_value("rushes_api_changes_total", {"outcome": "told"}) or 0.0


def _read_since(begun: float) -> Callable[[], Awaitable[float]]:
    async def count() -> float:
        return _read() - begun

    return count


def _ended(reason: str) -> float:
    return REGISTRY.get_sample_value("rushes_api_streams_ended_total", {"reason": reason}) or 0.0


@pytest.mark.each_broker
async def test_a_client_is_told_of_its_projects_and_of_no_other(world: World) -> None:
    mine, others, of_none = (kept_preview(project_id=each) for each in (PROJECT, OTHER_PROJECT, None))
    begun = _read()
    async with served(world) as api:
        await announce(world, change(None, mine))  # before anybody listened
        await eventually(_read_since(begun), lambda count: count == 1)
        async with api.stream(ONE) as one, api.stream(ALL) as everything:
            await announce(world, *(change(None, row) for row in (others, of_none, mine.moved())))
            assert await _told(one, 1) == [(str(mine.id), 3)]
            assert set(await _told(everything, 3)) == {(str(others.id), 2), (str(of_none.id), 2), (str(mine.id), 3)}


@pytest.mark.each_broker
async def test_a_client_that_comes_back_is_told_all_that_it_missed_in_order(world: World) -> None:
    rows = [kept_preview(project_id=PROJECT) for _ in range(5)]
    histories = [_versions(row, 4) for row in rows]
    async with served(world) as api:
        async with api.stream(ONE) as stream:
            await announce(world, *(change(None, history[0]) for history in histories))
            seen = await _told(stream, 2)
            last = stream.last
        await announce(
            world, *(change(None, row) for number in (1, 2, 3) for row in (each[number] for each in histories))
        )
        async with api.stream(ONE, last) as again:
            missed = await _told(again, 5 * 4 - 2)
    told = seen + missed
    assert len(set(told)) == len(told), "nothing twice"
    for history in histories:
        own = [version for preview, version in told if preview == str(history[0].id)]
        assert own == [row.version for row in history], "in order, each"


@pytest.mark.each_broker
async def test_any_process_goes_on_where_another_ended(world: World) -> None:
    rows = [kept_preview() for _ in range(12)]
    async with served(world) as first, first.stream() as stream:
        await announce(world, *(change(None, row) for row in rows[:6]))
        told = await _told(stream, 4)
        last = stream.last
    await announce(world, *(change(None, row) for row in rows[6:]))
    async with served(world) as second, second.stream(last=last) as stream:
        told += await _told(stream, 8)
    assert {preview for preview, _ in told} == {str(row.id) for row in rows}


@pytest.mark.parametrize("last", ["x", "0", "999999999.0.0.0", ""])
async def test_a_client_that_was_away_too_long_is_told_to_read_the_lists(world: World, last: str) -> None:
    rows = [kept_preview() for _ in range(8)]
    async with served(world, API_STREAM_HISTORY="4") as api:
        begun = _read()
        await announce(world, *(change(None, row) for row in rows))
        await eventually(_read_since(begun), lambda count: count == len(rows))
        if not last:
            async with api.stream(last="") as stream:  # browsers send none at first; an empty one is none
                await announce(world, change(None, rows[0]))
                assert (await stream.event()).event == "status-changed"
            return
        async with api.stream(last=last) as stream:
            told = await stream.event()
            assert told.event == "reset"
            assert told.data["reason"]
            await announce(world, change(None, rows[0].moved()))
            assert await _told(stream, 1) == [(str(rows[0].id), 3)], "it goes on from now"


async def test_heart_beats_tell_a_client_where_it_is_though_nothing_concerns_it(world: World) -> None:
    async with served(world, API_STREAM_HEARTBEAT="0.1", API_STREAM_HISTORY="8") as api:
        async with api.stream(ONE) as stream:
            begun = stream.last
            # So many that the history holds none of those that the client has seen.
            for count in (8, 16, 24):
                await announce(world, *(change(None, kept_preview(project_id=OTHER_PROJECT)) for _ in range(8)))
                async with asyncio.timeout(PATIENCE):
                    while _sum(stream.last) - _sum(begun) < count:
                        await stream._block()
            last = stream.last
        async with api.stream(ONE, last) as again:
            await announce(world, change(None, kept_preview(project_id=PROJECT)))
            assert (await again.event()).event == "status-changed", "no reset: it had missed nothing"


async def test_a_silent_stream_has_heart_beats(world: World) -> None:
    async with served(world, API_STREAM_HEARTBEAT="0.1") as api, api.stream() as stream:
        while stream.comments < 3:  # nothing happens meanwhile; a block that does not come fails
            await stream._block()


async def test_changes_come_without_heart_beats_before_it_is_time_for_one(world: World) -> None:
    async with served(world, API_STREAM_HEARTBEAT="3600") as api, api.stream() as stream:
        for _ in range(5):
            await announce(world, change(None, kept_preview()))
            assert (await stream.event()).event == "status-changed"
        assert stream.comments == 0


def _sum(marker: str) -> int:
    return sum(map(int, marker.split(".")))


@pytest.mark.extended
async def test_a_client_that_takes_nothing_is_dropped_and_holds_back_nobody(world: World) -> None:
    large = kept_preview(original_name="x" * 250, failure_code="corrupt", failure_message="m" * 2000)
    before = _ended("slow")
    async with served(world, API_STREAM_PATIENCE="0.5", API_STREAM_HISTORY="100000") as api:
        host, port = api.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        ask = f"GET /status-changes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\n\r\n"
        writer.write(ask.encode())
        await reader.readuntil(b"\r\n\r\n")  # and reads no more
        async with api.stream() as attentive:
            events = [change(None, large)] * 3000  # more than sockets hold
            sending = asyncio.create_task(announce(world, *events))
            assert len(await _told(attentive, len(events))) == len(events)
            await sending
            await eventually(lambda: _slow(before))
            await eventually(lambda: _open_streams(api), lambda count: count == 1)
        writer.transport.abort()


async def _slow(before: float) -> bool:
    return _ended("slow") > before


async def _open_streams(_api: Consumer) -> float:
    return REGISTRY.get_sample_value("rushes_api_streams") or 0.0


async def test_streams_are_counted_and_end_with_the_process(world: World) -> None:
    before = _ended("stopped")
    async with served(world, API_STREAMS_EACH="2", API_STREAMS="3") as api:
        async with api.stream() as first, api.stream(), api.stream(ONE):
            for token in (ALL, ONE):
                full = await api.ask("/status-changes", token)
                assert (full.status, full.headers["Retry-After"]) == (429, "30")
            kept = first
            assert kept.answer.headers["Content-Type"].startswith("text/event-stream")
            assert kept.answer.headers["Cache-Control"] == "no-store"
        await eventually(lambda: _open_streams(api), lambda count: count == 0)
        stream = api.stream()
        last = await stream.__aenter__()
    with pytest.raises(EOFError):
        await last.event()
    assert _ended("stopped") == before + 1
