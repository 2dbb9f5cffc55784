"""A bulk pass over lost sources: `make bench-bulk`.

So many previews stand in the database as `ready`, with all their files named, and no source lies in the store. Then
`rushes-normalizer renormalize --include-ready` is called as an operator calls it, and `status-changed` is read until
each is `missing`. Two processes serve: `run --roles intake,relay,janitor` and `run --roles worker`, with their default
settings but for MISSING_CONFIRM_AFTER and ABSENCE_FLOOD_NUMBER; PostgreSQL, SeaweedFS and the broker run beside them
(Apache Kafka where Java is, else the embedded one).

rows_per_second: previews over the seconds from the start of the command, the start of its Python too, to the last
event, for the largest pass. At least 1,000 is wanted.

stages: seconds from the start of the command to the first request that was taken in, the last one, the first absence
that was confirmed, the last, the last event, and the command's end. cpu_ms_per_row: processor time of each process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from uuid import uuid4

import psutil
from aiokafka import AIOKafkaConsumer
from rushes_embedded.broker import Topic
from rushes_embedded.kafka_jars import find_apache_kafka
from rushes_embedded.leash import Leash, log_tail
from rushes_embedded.stack import Stack
from rushes_embedded.studio import command_of
from rushes_normalizer import previews
from rushes_normalizer.previews import SCHEMA, PreviewRow
from rushes_runtime.database import Database
from rushes_schemas import PLACES, ObjectKind, PreviewStatus, Source, StoredFile, object_key

from tests.bench.saying import say

# As many as `rushes-normalizer migrate --topics` makes.
PARTITIONS: Final = 12
TOPICS: Final = tuple(
    Topic(name, partitions=PARTITIONS, config=config)
    for name, config in (
        ("preview-uploaded", {}),
        ("renormalize-requested", {}),
        ("status-changed", {"cleanup.policy": "compact"}),
        ("normalizer.dead-letters", {}),
    )
)
ROLES: Final = {"control": "intake,relay,janitor", "worker": "worker"}
PATIENCE: Final = 300.0  # seconds for one pass
# What the database knows of a pass, as seconds after its start.
_STAGES: Final = """
    SELECT extract(epoch FROM min(request.created_at)) AS first_taken_in,
        extract(epoch FROM max(request.created_at)) AS last_taken_in,
        extract(epoch FROM min(request.ended_at)) AS first_confirmed,
        extract(epoch FROM max(request.ended_at)) AS last_confirmed
    FROM request"""


def lost(number: int) -> PreviewRow:
    """A movie that plays, and whose source is gone."""
    preview_file_id = uuid4()
    kinds = [kind for kind in ObjectKind if kind not in {ObjectKind.SOURCE_PICTURE, ObjectKind.FILE}]
    now = datetime.now(UTC)
    return PreviewRow(
        id=preview_file_id,
        status=PreviewStatus.READY,
        version=2,
        uploaded_at=now,
        created_at=now,
        upload_extension="mov",
        extension="mp4",
        source=Source(bucket="movies", key=object_key(ObjectKind.SOURCE_MOVIE, preview_file_id), bytes=1, etag="e"),
        name=f"sh{number:05}_anim",
        original_name=f"sh{number:05}_anim_v003.mov",
        revision=3,
        position=1,
        file_size=48_211_034,
        project_id=uuid4(),
        task_id=uuid4(),
        person_id=uuid4(),
        width=1920,
        height=1080,
        duration=4.0,
        fps="24/1",
        frame_count=96,
        files=tuple(
            StoredFile(
                kind=kind.value,
                bucket=PLACES[kind].bucket,
                key=object_key(kind, preview_file_id),
                bytes=1_000_000,
                etag=uuid4().hex,
                sha256=uuid4().hex + uuid4().hex,
            )
            for kind in kinds
        ),
    )


def environment_of(stack: Stack, database: str, confirm_after: float) -> dict[str, str]:
    """The services' settings."""
    return {
        "DATABASE_URL": stack.postgres.create_database(database),
        "KAFKA__BOOTSTRAP_SERVERS": stack.broker.bootstrap_servers,
        "KAFKA__CHECK_CRCS": str(stack.broker.supports.check_crcs).lower(),
        "STORE__KIND": "s3",
        "STORE__ENDPOINT_URL": stack.objects.endpoint_url,
        "STORE__ACCESS_KEY_ID": stack.objects.access_key_id,
        "STORE__SECRET_ACCESS_KEY": stack.objects.secret_access_key,
        "SCRATCH": str(stack.folder / "scratch"),
        "OPERATIONS_PORT": "0",
        "MISSING_CONFIRM_AFTER": str(confirm_after),
        "ABSENCE_FLOOD_NUMBER": "1000000",  # so many lost sources are a flood, which would hold them all
        "LOG_FORMAT": "json",
    }


@contextmanager
def serving(stack: Stack, environment: Mapping[str, str]) -> Iterator[dict[str, int]]:
    """Both processes, started; their process ids."""
    whole = {**os.environ, **environment}
    subprocess.run([*command_of("rushes-normalizer"), "migrate", "--store"], env=whole, check=True, capture_output=True)
    leashes: dict[str, Leash] = {}
    try:
        for name, roles in ROLES.items():
            log = stack.logs / f"{name}.log"
            leashes[name] = Leash([*command_of("rushes-normalizer"), "run", "--roles", roles], log=log, env=whole)
            leashes[name].start()
        for leash in leashes.values():
            wait_until_started(leash)
        yield {name: leash.pid for name, leash in leashes.items()}
    finally:
        for leash in leashes.values():
            leash.stop()


def wait_until_started(leash: Leash) -> None:
    """Wait for the log's word of it.

    Raises:
        RuntimeError: it does not start.
    """
    deadline = time.monotonic() + 60
    while '"started"' not in leash.log.read_text():
        if leash.poll() is not None or time.monotonic() > deadline:
            msg = f"a service does not start:\n{log_tail(leash.log)}"
            raise RuntimeError(msg)
        time.sleep(0.05)


async def read_missing(environment: Mapping[str, str], rows: int, reading: asyncio.Event) -> float:
    """Read until so many previews are `missing`; the time of the last."""
    consumer = AIOKafkaConsumer(
        "status-changed",
        bootstrap_servers=environment["KAFKA__BOOTSTRAP_SERVERS"],
        isolation_level="read_committed",
        check_crcs=environment["KAFKA__CHECK_CRCS"] == "true",
        auto_offset_reset="latest",
    )
    await consumer.start()
    try:
        await consumer.seek_to_end()
        for partition in consumer.assignment():
            await consumer.position(partition)
        reading.set()
        missing: set[bytes] = set()
        while len(missing) < rows:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                missing |= {record.key for record in records if b'"internal_status":"missing"' in record.value}
        return time.time()
    finally:
        await consumer.stop()


async def call(environment: Mapping[str, str]) -> float:
    """The command, to its end; the time of that."""
    process = await asyncio.create_subprocess_exec(
        *command_of("rushes-normalizer"),
        "renormalize",
        "--include-ready",
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
    )
    code = await process.wait()
    assert code == 0, f"renormalize ended with code {code}"
    return time.time()


def cpu_of(pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds of processor time of each process and its children, and of this one (all of them are its children)."""
    spent = {}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        children = [] if pid == os.getpid() else process.children(recursive=True)
        times = [each.cpu_times() for each in (process, *children)]
        spent[name] = sum(each.user + each.system for each in times)
    return spent


async def run_pass(database: Database, environment: Mapping[str, str], pids: Mapping[str, int], rows: int) -> Any:
    """One pass over `rows` previews; its figures."""
    async with database.begin() as connection:
        await previews.save(connection, [lost(number) for number in range(rows)])
    reading = asyncio.Event()
    read = asyncio.create_task(read_missing(environment, rows, reading))
    await reading.wait()
    cpu = cpu_of(pids)
    began = time.time()
    async with asyncio.timeout(PATIENCE):
        ended, last_event = await asyncio.gather(call(environment), read)
    spent = cpu_of(pids)
    (stages,) = await database.fetch(_STAGES)
    return {
        "rows": rows,
        "rows_per_second": round(rows / (last_event - began)),
        "stages": {
            **{name: round(float(at) - began, 2) for name, at in stages._mapping.items()},
            "last_event": round(last_event - began, 2),
            "command_ended": round(ended - began, 2),
        },
        "cpu_ms_per_row": {name: round((spent[name] - cpu[name]) / rows * 1000, 2) for name in pids},
    }


async def measure(stack: Stack, sizes: Sequence[int], confirm_after: float) -> list[Any]:
    """A pass of each size, each with a database and processes of its own."""
    passes = []
    for rows in sizes:
        environment = environment_of(stack, f"bulk_{rows}", confirm_after)
        with serving(stack, environment) as services:
            pids = {
                **services,
                "postgresql": stack.postgres.pid,
                "seaweedfs": stack.objects.pid,
                "kafka": stack.broker.pid,
                "reader": os.getpid(),
            }
            database = Database(environment["DATABASE_URL"], SCHEMA)
            try:
                passes.append(await run_pass(database, environment, pids, rows))
            finally:
                await database.close()
        say(json.dumps(passes[-1]))
    return passes


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 20_000], help="of each pass (%(default)s)")
    parser.add_argument("--confirm-after", type=float, default=0.1, help="MISSING_CONFIRM_AFTER (%(default)s)")
    parser.add_argument("--broker", choices=["embedded", "apache-kafka"], help="default: Apache Kafka where Java is")
    arguments = parser.parse_args()
    lacking = find_apache_kafka()
    broker: Literal["embedded", "apache-kafka"] = arguments.broker or ("embedded" if lacking else "apache-kafka")
    with (
        tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder,
        Stack(Path(folder), topics=TOPICS, broker=broker) as stack,
    ):
        passes = asyncio.run(measure(stack, arguments.rows, arguments.confirm_after))
    figures = {
        "rows_per_second": max(passes, key=lambda each: each["rows"])["rows_per_second"],
        "passes": passes,
        "missing_confirm_after": arguments.confirm_after,
        "broker": broker,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
