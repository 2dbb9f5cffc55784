"""Publishers in each language: what they send to a real broker is an event, and intake makes a preview of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from aiokafka.partitioner import murmur2
from rushes_embedded.broker import Topic
from rushes_normalizer.previews import read
from rushes_runtime.envelopes import read_event
from rushes_schemas import CONTRACTS, PreviewUploaded

from tests.contracts.publishers import EXAMPLES, PUBLISHERS, Publisher
from tests.integration.normalizer.parts import parts_of
from tests.world import TOPICS, World, eventually, playing

PARTITIONS = 12  # no power of two: clients that treat a hash's sign in another way are told apart
PAGE = (EXAMPLES.parents[1] / "docs" / "publishers.md").read_text(encoding="utf-8")


def telling_ids() -> Iterator[UUID]:
    """Ids whose hash has its highest bit set, and goes to another partition if that is not masked."""
    while True:
        preview_id = uuid4()
        hashed = murmur2(str(preview_id).encode()) & 0xFFFFFFFF
        if hashed % PARTITIONS != partition_of(preview_id):
            yield preview_id


def partition_of(preview_id: UUID) -> int:
    """Where Kafka's own Java client sends a preview's records."""
    return int(murmur2(str(preview_id).encode()) & 0x7FFFFFFF) % PARTITIONS


@pytest.fixture
def studio(world: World) -> World:
    """A world whose topics have many partitions."""
    prefix = f"{world.prefix}wide."
    world.broker.ensure_topics([Topic(prefix + name, PARTITIONS, config) for name, config in TOPICS.items()])
    return replace(world, prefix=prefix, environment={**world.environment, "KAFKA__TOPIC_PREFIX": prefix})


@pytest.mark.apache_kafka
@pytest.mark.parametrize("publisher", PUBLISHERS, ids=lambda publisher: publisher.language)
async def test_what_a_publisher_sends_becomes_a_preview(studio: World, publisher: Publisher, tmp_path: Path) -> None:
    if publisher.lacking:
        pytest.skip(publisher.lacking)
    preview_id = next(telling_ids())
    event_id = await publisher.publish(
        tmp_path, studio.broker.bootstrap_servers, f"{studio.prefix}preview-uploaded", str(preview_id).upper(), "mov"
    )

    (record,) = await studio.records("preview-uploaded")
    received = read_event(record, CONTRACTS)
    assert (received.event_id, received.source) == (event_id, "/studio/uploads")
    assert isinstance(received.event, PreviewUploaded)
    assert record.key == str(preview_id).encode(), "the key is the id in lower case"
    assert record.partition == partition_of(preview_id), "records of one preview lie in one partition"

    async with parts_of(studio) as parts, playing(parts.intake()):

        async def row() -> object:
            async with parts.database.begin() as connection:
                return await read(connection, preview_id)

        await eventually(row)
        async with parts.database.begin() as connection:
            preview = await read(connection, preview_id)
    assert preview
    assert (preview.status, preview.upload_extension) == ("processing", "mov")
    assert preview.encoding
    assert preview.encoding.fps == "24000/1001"


@pytest.mark.parametrize("publisher", PUBLISHERS, ids=lambda publisher: publisher.language)
def test_the_page_shows_the_program_that_is_tested(publisher: Publisher) -> None:
    shown = set(re.findall(r"^<!-- (\S+) -->$", PAGE, re.MULTILINE))
    programs = {path for path in shown if path.startswith(f"examples/publishers/{publisher.language}/")}
    assert programs
    for path in programs:
        text = (EXAMPLES.parents[1] / path).read_text(encoding="utf-8")
        assert re.search(rf"^<!-- {re.escape(path)} -->\n\n```\w+\n{re.escape(text)}```$", PAGE, re.MULTILINE)
