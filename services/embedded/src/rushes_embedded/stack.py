"""The whole stack in one folder: PostgreSQL, an S3 server, a Kafka broker."""

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from rushes_embedded.apache_kafka import ApacheKafka
from rushes_embedded.broker import Broker, Topic
from rushes_embedded.embedded_broker import EmbeddedBroker
from rushes_embedded.leash import StartError, wait_until_unused
from rushes_embedded.objects import Objects
from rushes_embedded.postgres import Postgres

# Longer than any server's grace time: a killed owner's servers are gone by then.
_PREDECESSOR_SECONDS = 20.0

# A process that was just killed holds its lock for a moment more.
_DYING_SECONDS = 1.0

_BROKERS: dict[str, Callable[..., Broker]] = {"embedded": EmbeddedBroker, "apache-kafka": ApacheKafka}


class Stack:
    """Starts everything on entry, stops everything on exit, whatever happened in between.

        with Stack(Path(".rushes"), topics=[Topic("uploads")]) as stack:
            url = stack.postgres.create_database("rushes")

    A start begins with nothing: the embedded broker forgets its topics, so the database that belongs to them goes with
    them. `folder` holds `logs/` (kept until the next start), the servers' data, and a lock: one stack per folder.
    A stack whose owner is killed goes down with it, and the next start works.
    """

    def __init__(
        self,
        folder: Path,
        *,
        topics: Sequence[Topic] = (),
        broker: Literal["embedded", "apache-kafka"] = "embedded",
        durable: bool = False,
    ) -> None:
        """`durable` as in `Postgres`."""
        self.folder = folder.resolve()
        self.logs = self.folder / "logs"
        self.postgres = Postgres(self.folder / "postgres", log=self.logs / "postgres.log", durable=durable)
        self.objects = Objects(self.folder / "objects", log=self.logs / "objects.log")
        self.broker: Broker = _BROKERS[broker](self.folder / "broker", log=self.logs / "broker.log", topics=topics)
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Start the three at once. Raises `StartError` when one cannot start, or another stack has the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _take_lock(self.folder / "lock")
        try:
            self._remove_previous_run()
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _remove_previous_run(self) -> None:
        for log in self.logs.glob("*.log"):
            wait_until_unused(log, timeout=_PREDECESSOR_SECONDS)
            log.unlink()
        self._discard()

    def _start(self) -> None:
        with ThreadPoolExecutor(3, thread_name_prefix="start") as threads:
            starts = [threads.submit(server.start) for server in (self.postgres, self.objects, self.broker)]
        for start in starts:
            start.result()

    def _stop(self) -> None:
        try:
            self._discard()
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _discard(self) -> None:
        self.broker.discard()
        self.objects.discard()
        self.postgres.discard()


def _take_lock(path: Path) -> int:
    """The descriptor that holds the folder's lock for as long as it is open, which is no longer than we live."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + _DYING_SECONDS
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            holder = os.read(descriptor, 32).decode() or "unknown"
            os.close(descriptor)
            raise StartError(f"a stack runs in {path.parent} already, of the process {holder}")
        time.sleep(0.02)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
