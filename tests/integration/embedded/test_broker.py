import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import ProducerFenced
from confluent_kafka import Producer
from rushes_embedded.apache_kafka import ApacheKafka
from rushes_embedded.broker import Broker, Topic
from rushes_embedded.embedded_broker import EmbeddedBroker
from rushes_embedded.kafka_jars import find_apache_kafka
from rushes_embedded.leash import StartError

from tests.integration.embedded.deadline import is_gone
from tests.pace import pace
from tests.world import PATIENCE

MakeBroker = Callable[..., Broker]

NO_KAFKA = find_apache_kafka()
needs_kafka = pytest.mark.skipif(NO_KAFKA is not None, reason=f"Apache Kafka cannot run here: {NO_KAFKA}")
ALL_KINDS = [
    pytest.param(EmbeddedBroker, id="embedded"),
    pytest.param(ApacheKafka, id="apache-kafka", marks=[pytest.mark.alone, needs_kafka]),
]
TOPICS = [
    *(Topic(f"topic-{number}") for number in range(5)),
    Topic("compact", partitions=7, config={"cleanup.policy": "compact"}),
    Topic("shared"),
]


@pytest.fixture(scope="module", params=ALL_KINDS)
def each_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("broker")
    server: Broker = request.param(folder / "broker", log=folder / "log", topics=TOPICS)
    server.start()
    yield server
    server.discard()


# One of them for tests of what only Apache Kafka can do.
kafka = pytest.mark.parametrize("each_broker", ALL_KINDS[1:], indirect=True)


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[MakeBroker]:
    made: list[Broker] = []

    def make(kind: Callable[..., Broker], *topics: Topic) -> Broker:
        server = kind(tmp_path / "broker", log=tmp_path / "log", topics=topics)
        made.append(server)
        return server

    yield make
    for server in made:
        server.discard()


@asynccontextmanager
async def _consumer(
    broker: Broker, *topics: str, group: str | None = None, isolation_level: str = "read_uncommitted"
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=broker.bootstrap_servers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level=isolation_level,
        check_crcs=broker.supports.check_crcs,
        session_timeout_ms=2_000 if broker.kind == "embedded" else 10_000,  # a next member waits for it there
        heartbeat_interval_ms=500,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def _producer(broker: Broker, transactional_id: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, transactional_id=transactional_id, enable_idempotence=True
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def _read(consumer: AIOKafkaConsumer, number: int) -> list[ConsumerRecord]:
    async with asyncio.timeout(PATIENCE):
        return [await consumer.getone() for _ in range(number)]


async def _end_offsets(broker: Broker, topic: str) -> list[int]:
    async with _consumer(broker, topic) as consumer:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        ends = await consumer.end_offsets(partitions)
    return [ends[partition] for partition in partitions]


@pytest.mark.parametrize("topic", ["topic-0", "topic-1"])
async def test_a_topic_asked_for_is_there_and_empty(each_broker: Broker, topic: str) -> None:
    assert await _end_offsets(each_broker, topic) == [0, 0, 0, 0]


async def test_ensuring_a_topic_again_changes_nothing(each_broker: Broker) -> None:
    async with _producer(each_broker) as producer:
        await producer.send_and_wait("topic-2", b"kept", partition=1)
    each_broker.ensure_topics(TOPICS)
    assert await _end_offsets(each_broker, "topic-2") == [0, 1, 0, 0]


async def test_a_group_goes_on_where_it_committed(each_broker: Broker) -> None:
    async with _producer(each_broker) as producer:
        for number in range(10):
            await producer.send_and_wait("topic-3", str(number).encode(), partition=0)
    async with _consumer(each_broker, "topic-3", group="readers") as consumer:
        read = await _read(consumer, 4)
        await consumer.commit({TopicPartition("topic-3", 0): read[-1].offset + 1})
    async with _consumer(each_broker, "topic-3", group="readers") as consumer:
        assert [record.value for record in await _read(consumer, 6)] == [b"4", b"5", b"6", b"7", b"8", b"9"]


async def test_committed_transactions_are_read_and_aborted_ones_hidden_where_supported(each_broker: Broker) -> None:
    async with _producer(each_broker, "relay") as producer:
        await producer.begin_transaction()
        await producer.send_and_wait("topic-4", b"aborted", partition=0)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait("topic-4", b"committed", partition=0)
    expected = [b"committed"] if each_broker.supports.hides_aborted else [b"aborted", b"committed"]
    async with _consumer(each_broker, "topic-4", isolation_level="read_committed") as consumer:
        assert [record.value for record in await _read(consumer, len(expected))] == expected


def test_it_listens_on_loopback_only(each_broker: Broker) -> None:
    connections = psutil.Process(each_broker.pid).net_connections("inet")
    addresses = {c.laddr.ip.removeprefix("::ffff:") for c in connections if c.status == "LISTEN"}
    assert addresses == {"127.0.0.1"}


def test_the_embedded_broker_is_gone_when_it_was_stopped(make_broker: MakeBroker) -> None:
    broker = make_broker(EmbeddedBroker)
    broker.start()
    pid = broker.pid
    broker.stop()
    assert is_gone(pid)


def test_the_embedded_broker_forgets_when_it_stops(make_broker: MakeBroker) -> None:
    broker = make_broker(EmbeddedBroker, Topic("forgotten"))
    broker.start()

    async def fill() -> None:
        async with _producer(broker) as producer:
            await producer.send_and_wait("forgotten", b"value", partition=0)

    asyncio.run(fill())
    assert asyncio.run(_end_offsets(broker, "forgotten")) == [1, 0, 0, 0]
    broker.stop()
    broker.start()
    assert asyncio.run(_end_offsets(broker, "forgotten")) == [0, 0, 0, 0]


async def test_a_topic_has_the_partitions_it_was_given(make_broker: MakeBroker) -> None:
    broker = make_broker(EmbeddedBroker, Topic("wide", partitions=12), Topic("narrow.1", partitions=1))
    await asyncio.to_thread(broker.start)
    assert await _end_offsets(broker, "wide") == [0] * 12
    assert await _end_offsets(broker, "narrow.1") == [0]


async def test_the_embedded_broker_makes_later_topics_with_four_partitions_only(make_broker: MakeBroker) -> None:
    broker = make_broker(EmbeddedBroker)
    await asyncio.to_thread(broker.start)
    broker.ensure_topics([Topic("later")])
    assert await _end_offsets(broker, "later") == [0] * 4
    with pytest.raises(StartError, match="the topic has 4 partitions"):
        broker.ensure_topics([Topic("wide", partitions=12)])


async def test_the_embedded_brokers_groups_do_not_wait_for_more_members(make_broker: MakeBroker) -> None:
    broker = make_broker(EmbeddedBroker, Topic("topic"))
    await asyncio.to_thread(broker.start)
    async with asyncio.timeout(2.5 * pace()), _consumer(broker, "topic", group="first") as consumer:
        assert len(consumer.assignment()) == 4


def test_a_broker_that_was_not_started_has_no_address(make_broker: MakeBroker) -> None:
    with pytest.raises(StartError, match="not started"):
        _ = make_broker(EmbeddedBroker).bootstrap_servers


@pytest.mark.alone
@needs_kafka
async def test_kafka_is_gone_when_it_ended_and_comes_back_with_its_records_at_its_address(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(ApacheKafka, Topic("kept", partitions=2))
    await asyncio.to_thread(broker.start)
    async with _producer(broker) as producer:
        await producer.send_and_wait("kept", b"first", partition=0)
        for end in ("killed", "stopped"):
            pid = broker.pid
            if end == "killed":
                psutil.Process(pid).kill()
            await asyncio.to_thread(broker.stop)
            assert is_gone(pid)
            await asyncio.to_thread(broker.start)
            await producer.send_and_wait("kept", end.encode(), partition=0)
    async with _consumer(broker, "kept") as consumer:
        assert [record.value for record in await _read(consumer, 3)] == [b"first", b"killed", b"stopped"]


@kafka
async def test_kafka_has_topics_with_settings_and_no_others(each_broker: Broker) -> None:
    assert await _end_offsets(each_broker, "compact") == [0] * 7
    asked = Producer({"bootstrap.servers": each_broker.bootstrap_servers}).list_topics("unheard-of", timeout=60)
    assert asked.topics["unheard-of"].error is not None
    async with _consumer(each_broker) as consumer:
        assert await consumer.topics() == {topic.name for topic in TOPICS}


@pytest.mark.alone
@needs_kafka
async def test_kafka_refuses_a_wrong_topic_setting_in_words(make_broker: MakeBroker) -> None:
    broker = make_broker(ApacheKafka, Topic("wrong", config={"cleanup.policy": "burn"}))
    with pytest.raises(StartError, match=r"(?s)wrong.*cleanup\.policy"):
        await asyncio.to_thread(broker.start)
    assert is_gone(broker.pid)


@kafka
async def test_members_of_a_group_share_kafkas_partitions_and_zombies_are_fenced(each_broker: Broker) -> None:
    async with (
        _consumer(each_broker, "shared", group="both") as first,
        _consumer(each_broker, "shared", group="both") as second,
        asyncio.timeout(PATIENCE),
    ):
        while not (len(first.assignment()) == len(second.assignment()) == 2):
            await asyncio.gather(first.getmany(timeout_ms=50), second.getmany(timeout_ms=50))
    async with _producer(each_broker, "relay") as zombie:
        await zombie.begin_transaction()
        await zombie.send_and_wait("shared", b"by the zombie", partition=0)
        async with _producer(each_broker, "relay"):
            with pytest.raises(ProducerFenced):
                await zombie.commit_transaction()
