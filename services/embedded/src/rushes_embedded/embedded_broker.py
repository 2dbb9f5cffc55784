"""The broker that needs nothing installed: librdkafka's mock cluster, in a process of its own."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from confluent_kafka import KafkaException, Producer

from rushes_embedded.broker import Support, Topic
from rushes_embedded.leash import Leash, StartError
from rushes_embedded.readiness import wait_until_ready


class EmbeddedBroker:
    """A Kafka broker in memory. It forgets everything when it stops, and comes back at another address.

    What is its own (all in librdkafka's `rdkafka_mock*.c`):

    - A topic that nobody made exists as soon as somebody asks for it, with four partitions.
    - A partition keeps its last 5 MB, and drops what is older.
    - One member per consumer group. A member that comes after another one left waits for the group's session time-out
      less a second.
    - `read_committed` reads aborted records too.
    """

    kind: Literal["embedded"] = "embedded"
    supports = Support(
        several_members=False,
        fences_transactions=False,
        hides_aborted=False,
        admin=False,
        keeps_data=False,
        check_crcs=False,
    )

    def __init__(self, folder: Path, *, log: Path, topics: Sequence[Topic] = ()) -> None:
        self._folder = folder
        self._log = log
        self._topics = topics
        self._address: str | None = None
        self._leash: Leash | None = None

    @property
    def bootstrap_servers(self) -> str:
        if self._address is None:
            raise StartError("the broker was not started")
        return self._address

    @property
    def pid(self) -> int:
        if self._leash is None:
            raise StartError("the broker was not started")
        return self._leash.pid

    def start(self, *, timeout: float = 180.0) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        address_file = self._folder / "address"
        address_file.unlink(missing_ok=True)
        topics = [f"{topic.name}:{topic.partitions}" for topic in self._topics]
        self._leash = Leash(
            [sys.executable, "-m", "rushes_embedded.broker_process", address_file.resolve(), *topics],
            log=self._log,
            grace_seconds=2,
        )
        self._leash.start()
        wait_until_ready(
            "the embedded broker",
            self._leash,
            lambda: None if address_file.exists() else "it has not written its address",
            timeout=timeout,
        )
        self._address = address_file.read_text()

    def stop(self, timeout: float | None = None) -> None:
        if self._leash is not None:
            self._leash.stop(timeout)

    def discard(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def ensure_topics(self, topics: Iterable[Topic]) -> None:
        client = Producer({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})

        def ensure(topic: Topic) -> None:
            # A producer's question for a topic's metadata makes the topic; no record is written.
            try:
                there = client.list_topics(topic.name, timeout=60).topics[topic.name]
            except KafkaException as error:
                raise StartError(f"the embedded broker does not make {topic.name}: {error}") from error
            if there.error is not None or len(there.partitions) != topic.partitions:
                raise StartError(
                    f"the embedded broker cannot make {topic} once it runs: "
                    f"{there.error or f'the topic has {len(there.partitions)} partitions'}"
                )

        with ThreadPoolExecutor(8) as threads:  # one question names one topic
            list(threads.map(ensure, topics))
