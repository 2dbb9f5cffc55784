"""A Kafka broker in memory: librdkafka's mock cluster, until SIGTERM.

`python -m rushes_embedded.broker_process FILE [TOPIC:PARTITIONS ...]` writes `host:port` to FILE, whole or not at all,
once the topics are there.

It calls the library in confluent-kafka's wheel directly (librdkafka's public `rdkafka_mock.h`): the Python client can
start a mock cluster, but neither give a topic its partitions nor shorten the 3 s for which each group's first member
waits for others.
"""

import ctypes
import importlib.metadata
import signal
import sys
from pathlib import Path

_PRODUCER = 0


class MockCluster:
    """One broker. Raises `RuntimeError` with librdkafka's words when it cannot be had."""

    def __init__(self) -> None:
        self._library = _librdkafka()
        reason = ctypes.create_string_buffer(512)
        settings = self._library.rd_kafka_conf_new()
        # 3: errors; it would warn that its own client, which nobody uses, has no servers.
        self._library.rd_kafka_conf_set(settings, b"log_level", b"3", reason, len(reason))
        client = self._library.rd_kafka_new(_PRODUCER, settings, reason, len(reason))
        if not client:
            raise RuntimeError(f"librdkafka does not start: {reason.value.decode()}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(client, 1)
        if not self._cluster:
            raise RuntimeError("librdkafka has no mock cluster for us")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)

    @property
    def address(self) -> str:
        bootstraps: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return bootstraps.decode()

    def create_topic(self, name: str, partitions: int) -> None:
        error = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if error:
            raise RuntimeError(f"librdkafka does not make the topic {name} (error {error})")


def _librdkafka() -> ctypes.CDLL:
    files = importlib.metadata.files("confluent-kafka") or []
    path = next((file.locate() for file in files if file.name.startswith("librdkafka")), None)
    if path is None:
        raise RuntimeError("confluent-kafka was installed without a librdkafka of its own: install its wheel")
    library = ctypes.CDLL(str(path))
    pointer, number, text, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, ()),
        ("rd_kafka_conf_set", number, (pointer, text, text, text, size)),
        ("rd_kafka_new", pointer, (number, pointer, text, size)),
        ("rd_kafka_mock_cluster_new", pointer, (pointer, number)),
        ("rd_kafka_mock_cluster_bootstraps", text, (pointer,)),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, (pointer, ctypes.c_int32)),
        ("rd_kafka_mock_topic_create", number, (pointer, text, number, number)),
    ):
        function = library[name]
        function.restype, function.argtypes = result, arguments
        setattr(library, name, function)
    return library


def main(address_file: Path, topics: list[str]) -> None:
    # Blocked before librdkafka starts its threads, which inherit it: the signal then comes to `sigwait` only.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    cluster = MockCluster()
    for topic in topics:
        name, _, partitions = topic.rpartition(":")
        cluster.create_topic(name, int(partitions))
    partial = address_file.with_suffix(".partial")
    partial.write_text(cluster.address)
    partial.rename(address_file)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
