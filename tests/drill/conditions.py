"""What brings each alert about, and takes it away again: the block begins with the one and ends with the other."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias
from uuid import uuid4

from aiohttp import ClientError, ClientSession
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest
from rushes_normalizer.api.access import hash_of
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC, group_of
from rushes_runtime.database import Database
from rushes_runtime.kafka import make_consumer
from rushes_runtime.store import Unconditional, place_sentinels
from rushes_runtime.store.local import LocalStore
from rushes_runtime.store.proof import SENTINEL_KEY
from rushes_schemas import Envelope, ObjectKind, object_key
from rushes_schemas.outputs import BUCKETS, PLACES
from sqlalchemy import text

from tests.drill.stage import SCRATCH_ROOM, Drill
from tests.world import eventually, free_port, put_source, upload

Condition: TypeAlias = Callable[[Drill], AbstractAsyncContextManager[None]]
_LACKING: Final = Path(__file__).parents[1] / "integration" / "media" / "lacking.py"
_JOINS: Final = 4
_WAITS_FOR_INBOX: Final = (
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO inbox%' "
    "AND datname = current_database()"
)


@asynccontextmanager
async def late_uploads(drill: Drill) -> AsyncIterator[None]:
    """Uploads whose jobs were taken in twenty minutes ago, and are done only now."""
    drill.store_cable.hold()
    try:
        ids = await drill.upload(5)
        await _queued(drill, 4)
        await drill.normalizer.fetch("UPDATE task SET created_at = created_at - interval '20 minutes' RETURNING id")
    finally:
        drill.store_cable.release()
    await drill.ended(ids)
    yield


@asynccontextmanager
async def busy_slots(drill: Drill) -> AsyncIterator[None]:
    """The only slot waits for a store that hangs; the next upload waits for the slot."""
    drill.store_cable.hold()
    ids = await drill.upload(2)
    try:
        yield
    finally:
        drill.store_cable.release()
        await drill.ended(ids)


@asynccontextmanager
async def no_worker(drill: Drill) -> AsyncIterator[None]:
    """An upload, and nobody to work on it."""
    await drill.stop("worker")
    ids = await drill.upload()
    try:
        yield
    finally:
        drill.start("worker")
        await drill.ended(ids)


@asynccontextmanager
async def stuck_row(drill: Drill) -> AsyncIterator[None]:
    """A job whose worker is gone, and a janitor that waits for a lock to take it back."""
    (row,) = await drill.normalizer.fetch("SELECT id FROM preview_file WHERE status = 'ready' LIMIT 1")
    async with _held(drill.normalizer, "SELECT 1 FROM preview_file WHERE id = :id FOR UPDATE", id=row.id):
        await drill.normalizer.fetch(
            "INSERT INTO task (subject, lane, rank, payload, state, fence, worker, lease_until, started_at) "
            "VALUES (:id, 'single', now(), '{}', 'running', nextval('fence'), 'gone', now(), now()) RETURNING id",
            id=str(row.id),
        )
        yield
    await eventually(lambda: _open_tasks(drill), lambda number: number == 0)


@asynccontextmanager
async def our_failures(drill: Drill) -> AsyncIterator[None]:
    """A worker whose attempts run out of time, on sources that nothing is wrong with."""
    await drill.stop("worker")
    drill.start("worker", ATTEMPT_TIMEOUT="0.5")
    await drill.started("worker")
    drill.store_cable.hold()
    try:
        await drill.ended(await drill.upload(4))
    finally:
        drill.store_cable.release()
    await drill.stop("worker")
    drill.start("worker")
    yield


@asynccontextmanager
async def lost_sources(drill: Drill) -> AsyncIterator[None]:
    """Uploads that are announced and are not there."""
    await drill.ended(await drill.upload(5, source=False))
    yield


@asynccontextmanager
async def lost_sentinels(drill: Drill) -> AsyncIterator[None]:
    """Buckets without their sentinels, as those of another disk would be; seen by an upload that is not there."""
    event = upload()
    for bucket in BUCKETS:
        await drill.store.delete(bucket, SENTINEL_KEY, condition=Unconditional())
    await drill.world.send(event)
    try:
        yield
    finally:
        await put_source(drill.store, event.preview_file_id, drill.movie)
        await place_sentinels(drill.store, BUCKETS, drill.world.environment["INSTANCE"])
        await drill.ended([event.preview_file_id])


@asynccontextmanager
async def no_database(drill: Drill) -> AsyncIterator[None]:
    """A PostgreSQL that no longer answers."""
    drill.database_cable.hold()
    try:
        yield
    finally:
        drill.database_cable.release()


@asynccontextmanager
async def no_relay(drill: Drill) -> AsyncIterator[None]:
    """Statuses to be sent, and a relay's lease that somebody else holds, who does nothing."""
    await drill.normalizer.fetch(
        "UPDATE role_lease SET holder = 'drill', lease_until = now() + interval '1 hour' "
        "WHERE role = 'relay' RETURNING role"
    )
    ids = await drill.upload()
    try:
        yield
    finally:
        await drill.normalizer.fetch("DELETE FROM role_lease WHERE role = 'relay' RETURNING role")
        await drill.ended(ids)


@asynccontextmanager
async def late_event(drill: Drill) -> AsyncIterator[None]:
    """An upload that Kafka has held for an hour."""
    event = upload()
    await put_source(drill.store, event.preview_file_id, drill.movie)
    envelope = Envelope(event, source="/drill")
    async with drill.world.producer() as producer:
        await producer.send_and_wait(
            drill.world.prefix + envelope.topic,
            key=envelope.key(),
            value=envelope.value(),
            headers=envelope.headers(),
            timestamp_ms=int((time.time() - 3600) * 1000),
        )
    await drill.ended([event.preview_file_id])
    yield


@asynccontextmanager
async def stuck_intake(drill: Drill) -> AsyncIterator[None]:
    """A batch that waits for a lock on the inbox."""
    async with _held(drill.normalizer, "LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"):
        ids = await drill.upload()
        yield
    await drill.ended(ids)


@asynccontextmanager
async def rebalances(drill: Drill) -> AsyncIterator[None]:
    """Somebody joins the consumer group and leaves it, again and again."""
    for _ in range(_JOINS):
        await _join_and_leave(drill)
    yield


@asynccontextmanager
async def refused_commits(drill: Drill) -> AsyncIterator[None]:
    """Intake is thrown out of its group while it holds a batch, so that the batch's commit is refused; twice."""
    for _ in range(2):
        async with _held(drill.normalizer, "LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"):
            ids = await drill.upload()
            await eventually(lambda: drill.normalizer.fetch(_WAITS_FOR_INBOX))
            await _throw_out(drill)
        await drill.ended(ids)
    yield


@asynccontextmanager
async def bad_record(drill: Drill) -> AsyncIterator[None]:
    """A record that is no event."""
    async with drill.world.producer() as producer:
        await producer.send_and_wait(drill.world.prefix + "preview-uploaded", value=b"no event")
    yield


@asynccontextmanager
async def full_disk(drill: Drill) -> AsyncIterator[None]:
    """Somebody else's file on the disk of the scratch folders."""
    path = drill.scratch / "somebody-elses"
    free = shutil.disk_usage(drill.scratch).free
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, min(2 * SCRATCH_ROOM, free - SCRATCH_ROOM))
    try:
        yield
    finally:
        path.unlink()


@asynccontextmanager
async def long_drain(drill: Drill) -> AsyncIterator[None]:
    """A worker that is told to stop, and cannot hand its job back because somebody holds the preview's row."""
    drill.store_cable.hold()
    (preview_file_id,) = await drill.upload()
    await eventually(lambda: drill.normalizer.fetch("SELECT id FROM task WHERE state = 'running'"))
    leash, target = drill.processes.pop("worker")
    async with _held(drill.normalizer, "SELECT 1 FROM preview_file WHERE id = :id FOR UPDATE", id=preview_file_id):
        os.kill(leash.pid, signal.SIGTERM)
        drill.start("worker")
        drill.scrape(target)
        yield
    drill.store_cable.release()
    await asyncio.to_thread(leash.wait)
    drill.scrape()
    await drill.ended([preview_file_id])


@asynccontextmanager
async def no_sandbox(drill: Drill) -> AsyncIterator[None]:
    """A worker on a kernel that knows no Landlock."""
    await drill.stop("worker")
    drill.start("worker", under=[sys.executable, str(_LACKING), "landlock"])
    try:
        yield
    finally:
        await drill.stop("worker")
        drill.start("worker")
        await drill.started("worker")


@asynccontextmanager
async def drift(drill: Drill) -> AsyncIterator[None]:
    """A site where a folder stands in the place of a file, so that a full pass cannot put it right."""
    (row,) = await drill.normalizer.fetch(
        "SELECT id FROM preview_file WHERE status = 'ready' ORDER BY created_at LIMIT 1"
    )
    site = LocalStore(Path(drill.world.environment["SITES__LYON__ROOT"]))
    path = site.path(PLACES[ObjectKind.TILE].bucket, object_key(ObjectKind.TILE, row.id))
    path.unlink()
    path.mkdir()
    await _full_pass(drill, ends=1)
    try:
        yield
    finally:
        path.rmdir()
        await _full_pass(drill, ends=0)


@asynccontextmanager
async def no_full_pass(drill: Drill) -> AsyncIterator[None]:
    """A site whose last full pass was two hours ago."""
    await _full_pass(drill, ends=0)
    await drill.syncer.fetch("UPDATE site SET passed_at = passed_at - interval '2 hours' RETURNING name")
    try:
        yield
    finally:
        await _full_pass(drill, ends=0)


@asynccontextmanager
async def silent_control(drill: Drill) -> AsyncIterator[None]:
    """A control process that does nothing, not even answer."""
    leash, _ = drill.processes["control"]
    os.kill(leash.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(leash.pid, signal.SIGCONT)


@asynccontextmanager
async def nobody_answers_zou(drill: Drill) -> AsyncIterator[None]:
    """No process of the bridge."""
    await drill.stop("kitsu")
    try:
        yield
    finally:
        drill.start("kitsu")
        await drill.answers_zou()


@asynccontextmanager
async def refused_dispatch(drill: Drill) -> AsyncIterator[None]:
    """A dispatch for another store."""
    assert await drill.dispatch(uuid4(), prefix="other-") == 400
    yield


@asynccontextmanager
async def dispatch_that_waits(drill: Drill) -> AsyncIterator[None]:
    """A dispatched movie whose source hangs in the store."""
    drill.store_cable.hold()
    preview_file_id = uuid4()
    assert await drill.dispatch(preview_file_id) == 200
    try:
        yield
    finally:
        await put_source(drill.store, preview_file_id, drill.movie)
        drill.store_cable.release()
        await drill.ended([preview_file_id])


@asynccontextmanager
async def no_zou(drill: Drill) -> AsyncIterator[None]:
    """A Zou that answers nothing good."""
    drill.zou.up = False
    try:
        yield
    finally:
        drill.zou.up = True


@asynccontextmanager
async def zou_in_processing(drill: Drill) -> AsyncIterator[None]:
    """A Zou that is still at work on a movie that was made, whoever asked for it."""
    drill.zou.status = "processing"
    await drill.ended(await drill.upload())
    try:
        yield
    finally:
        drill.zou.status = "ready"


@asynccontextmanager
async def unanswered_calls(drill: Drill) -> AsyncIterator[None]:
    """A read API whose Kafka is away, and somebody who asks for a preview again and again."""
    port = free_port()
    access = {"tokens": [{"name": "drill", "sha256": hash_of("t"), "projects": "all", "renormalize": True}]}
    nowhere = {"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    drill.start("api", API_PORT=str(port), API_LINGER="0", API_ACCESS=json.dumps(access), **nowhere)
    await drill.started("api")
    (row, *_) = await drill.normalizer.fetch("SELECT id FROM preview_file WHERE status = 'ready'")
    asking = asyncio.create_task(_ask_for_ever(f"http://127.0.0.1:{port}/previews/{row.id}/renormalize"))
    try:
        yield
    finally:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await drill.stop("api")


async def _ask_for_ever(url: str) -> None:
    async with ClientSession(headers={"Authorization": "Bearer t"}) as client:
        while True:
            with suppress(ClientError):
                async with client.post(url, json={"reason": "drill"}) as answer:
                    assert answer.status == 503, await answer.text()
            await asyncio.sleep(0.2)


# They need several members in a consumer group.
NEED_KAFKA: Final = {"RebalanceStorm", "CommitFailures"}
CONDITIONS: Final[dict[str, Condition]] = {
    "AbsentMetrics": silent_control,
    "DatabaseDown": no_database,
    "StoreCircuitOpen": lost_sentinels,
    "NoWorkers": no_worker,
    "QueueOldest": busy_slots,
    "ReadyLatencyBurn": late_uploads,
    "RowsStuckProcessing": stuck_row,
    "FilesMissing": lost_sources,
    "OutboxStalled": no_relay,
    "ConsumerDelay": late_event,
    "ConsumerStuck": stuck_intake,
    "RebalanceStorm": rebalances,
    "CommitFailures": refused_commits,
    "DeadLetters": bad_record,
    "ApiErrors": unanswered_calls,
    "BrokenRatioHigh": our_failures,
    "ScratchLow": full_disk,
    "DrainExceeded": long_drain,
    "SandboxIncomplete": no_sandbox,
    "SyncDrift": drift,
    "SyncStale": no_full_pass,
    "KitsuServerGone": nobody_answers_zou,
    "KitsuDispatchesFailed": refused_dispatch,
    "KitsuJobWaits": dispatch_that_waits,
    "ZouUnreachable": no_zou,
    "ZouDisagrees": zou_in_processing,
}


@asynccontextmanager
async def _held(database: Database, statement: str, **parameters: object) -> AsyncIterator[None]:
    """A transaction that holds the locks of a statement while the block runs."""
    async with database.begin() as connection:
        await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await connection.execute(text(statement), parameters)
        yield


async def _open_tasks(drill: Drill) -> int:
    (row,) = await drill.normalizer.fetch("SELECT count(*) AS open FROM task WHERE state IN ('queued', 'running')")
    number: int = row.open
    return number


async def _queued(drill: Drill, number: int) -> None:
    await eventually(
        lambda: drill.normalizer.fetch("SELECT id FROM task WHERE state = 'queued'"), lambda rows: len(rows) >= number
    )


async def _join_and_leave(drill: Drill) -> None:
    settings = drill.world.normalizer_settings()
    consumer = make_consumer(settings.kafka, group_of(settings.instance))
    await consumer.start()
    try:
        consumer.subscribe([drill.world.prefix + topic for topic in CONTRACTS_BY_TOPIC])
        await eventually(lambda: _assigned(consumer))
    finally:
        await consumer.stop()


async def _throw_out(drill: Drill) -> None:
    """Leave the normalizer's group in the name of each of its members."""
    group = group_of(drill.world.normalizer_settings().instance)
    admin = AIOKafkaAdminClient(bootstrap_servers=drill.world.broker.bootstrap_servers)
    await admin.start()
    try:
        coordinator = await admin.find_coordinator(group)
        (described,) = await admin.describe_consumer_groups([group], group_coordinator_id=coordinator)
        (facts,) = described.to_object()["groups"]
        for member in facts["members"]:
            await admin._send_request_to_node(coordinator, LeaveGroupRequest(group, member["member_id"]))
    finally:
        await admin.close()


async def _assigned(consumer: AIOKafkaConsumer) -> int:
    return len(consumer.assignment())


async def _full_pass(drill: Drill, *, ends: int) -> None:
    code, out, errors = await drill.world.command("rushes-syncer", "full", "--site", "lyon", "--number-attempts", "1")
    assert code == ends, out + errors
