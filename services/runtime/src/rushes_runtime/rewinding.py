"""Setting a consumer group back in time: what it has taken in since comes again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, for_code

from rushes_runtime.kafka import connection_options
from rushes_runtime.settings import KafkaSettings


class GroupInUseError(ValueError):
    """The group has members, which would go on from where they are; the text says to stop them."""


async def rewind(settings: KafkaSettings, group: str, topics: Sequence[str], since: datetime | None) -> int:
    """Set a group's offsets back to a time, never forward; how many records will come again, at most.

    Args:
        topics: without the prefix.
        since: None for the earliest records that are kept.

    Raises:
        GroupInUseError: a member of the group runs.
        aiokafka.errors.KafkaError: the broker cannot be reached or refuses.
    """
    consumer = AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **connection_options(settings))
    await consumer.start()
    try:
        partitions = await _partitions(settings, [settings.topic_prefix + name for name in topics])
        consumer.assign(partitions)
        committed = {each: offset for each in partitions if (offset := await consumer.committed(each)) is not None}
        starts = await _starts(consumer, list(committed), since)
        wanted = {each: min(offset, starts.get(each, offset)) for each, offset in committed.items()}
        if wanted:
            await consumer.commit(wanted)
        return sum(committed[each] - wanted[each] for each in wanted)
    except CommitFailedError as error:
        msg = f"the consumer group {group} is in use: stop its service, and wait until the broker has seen that"
        raise GroupInUseError(msg) from error
    finally:
        await consumer.stop()


async def _partitions(settings: KafkaSettings, topics: list[str]) -> list[TopicPartition]:
    client = AIOKafkaAdminClient(**connection_options(settings))
    await client.start()
    try:
        described = await client.describe_topics(topics)
    finally:
        await client.close()
    for topic in described:
        if topic["error_code"]:
            raise for_code(topic["error_code"])(topic["topic"])
    return [TopicPartition(each["topic"], number["partition"]) for each in described for number in each["partitions"]]


async def _starts(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], since: datetime | None
) -> dict[TopicPartition, int]:
    """The first offsets since a time; of partitions that have no such record, none."""
    if since is None:
        earliest: dict[TopicPartition, int] = await consumer.beginning_offsets(partitions)
        return earliest
    milliseconds = round(since.timestamp() * 1000)
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, milliseconds))
    return {each: answer.offset for each, answer in found.items() if answer is not None}
