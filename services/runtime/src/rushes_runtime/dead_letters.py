"""Dead letters: reading them back, and sending what they hold to the topic that it came on.

A letter that was sent again is followed on its topic by a marker, an empty record that names it.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from aiokafka import AIOKafkaProducer, ConsumerRecord
from rushes_schemas import Contract

from rushes_runtime.envelopes import UnreadableError, read_event
from rushes_runtime.kafka import make_producer, read_topic
from rushes_runtime.settings import KafkaSettings

_MARKER: Final = "rushes-redriven"
_SENT_TOGETHER: Final = 100
_AGAIN: Final = re.compile(r"/redrive-\d+-\d+$")
_MAX_ID: Final = 400

Headers: TypeAlias = list[tuple[str, bytes]]


@dataclass(frozen=True)
class DeadLetter:
    """A record that could not be taken in.

    Attributes:
        id: its partition and offset on the dead-letter topic, such as `0-17`.
        topic: that it came on, with the studio's prefix; `partition` and `offset` are its place there.
        headers: those that it had.
        size: of the original value in bytes; `value` is cut if `truncated`.
    """

    id: str
    at: datetime
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    size: int
    truncated: bool
    key: bytes | None
    headers: Headers
    value: bytes | None
    redriven: bool = False

    def facts(self) -> dict[str, Any]:
        """All but the value, as JSON values."""
        text = {name: value.decode(errors="backslashreplace") for name, value in self.headers}
        key = None if self.key is None else self.key.decode(errors="backslashreplace")
        rest = {name: value for name, value in vars(self).items() if name != "value"}
        return {**rest, "at": self.at.isoformat(), "key": key, "headers": text}


@dataclass(frozen=True)
class Redriven:
    """What is sent again."""

    key: bytes
    headers: Headers
    value: bytes


async def read_letters(kafka: KafkaSettings, service: str) -> AsyncIterator[DeadLetter | str]:
    """What the dead-letter topic of a service holds: letters, and for a marker the id of the letter that was redriven.

    Raises:
        aiokafka.errors.KafkaError: the topic cannot be read.
    """
    async for records in read_topic(kafka, f"{service}.dead-letters"):
        for record in records:
            facts = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
            if _MARKER in facts:
                yield facts[_MARKER]
            elif "rushes-reason" in facts:
                yield _letter(record, facts)


def _letter(record: ConsumerRecord[bytes, bytes], facts: Mapping[str, str]) -> DeadLetter:
    original = "original-"
    return DeadLetter(
        id=f"{record.partition}-{record.offset}",
        at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        reason=facts["rushes-reason"],
        detail=facts["rushes-detail"],
        topic=facts["rushes-topic"],
        partition=int(facts["rushes-partition"]),
        offset=int(facts["rushes-offset"]),
        size=int(facts["rushes-bytes"]),
        truncated=facts["rushes-truncated"] == "true",
        key=record.key,
        headers=[(name.removeprefix(original), value) for name, value in record.headers if name.startswith(original)],
        value=record.value,
    )


async def list_letters(kafka: KafkaSettings, service: str) -> list[DeadLetter]:
    """All letters, newest first, without their values.

    Raises:
        aiokafka.errors.KafkaError: the topic cannot be read.
    """
    letters: list[DeadLetter] = []
    redriven: set[str] = set()
    async for found in read_letters(kafka, service):
        if isinstance(found, str):
            redriven.add(found)
        else:
            letters.append(replace(found, value=None))
    letters.sort(key=lambda letter: letter.at, reverse=True)
    return [replace(letter, redriven=letter.id in redriven) for letter in letters]


async def redrive(
    kafka: KafkaSettings,
    service: str,
    contracts: Mapping[str, Sequence[Contract]],
    ids: Collection[str],
    *,
    mended: bytes | None = None,
    dry_run: bool = False,
) -> dict[str, str | None]:
    """Send letters to the topics that they came on, if their events can be read now.

    An event gets an id of its own, made of its old one and the letter's: intake would drop the old one as a repetition,
    and a letter that is sent twice counts once.

    Args:
        contracts: what each topic (without the prefix) carries.
        mended: to be sent instead of the value.

    Returns:
        For each letter that was found why it was not sent, or None.

    Raises:
        aiokafka.errors.KafkaError: the broker does not answer; letters without a marker may have been sent.
    """
    results: dict[str, str | None] = {}
    producer = make_producer(kafka)
    await producer.start()
    try:
        batch: list[tuple[DeadLetter, Redriven]] = []
        async for letter in read_letters(kafka, service):
            if isinstance(letter, str) or letter.id not in ids:
                continue
            try:
                batch.append((letter, _again(letter, kafka.topic_prefix, contracts, mended)))
                results[letter.id] = None
            except UnreadableError as error:
                results[letter.id] = str(error)
            if len(batch) >= _SENT_TOGETHER and not dry_run:
                await _send(producer, f"{kafka.topic_prefix}{service}.dead-letters", batch)
                batch = []
        if not dry_run:
            await _send(producer, f"{kafka.topic_prefix}{service}.dead-letters", batch)
    finally:
        await producer.stop()
    return results


def _again(
    letter: DeadLetter, prefix: str, contracts: Mapping[str, Sequence[Contract]], mended: bytes | None
) -> Redriven:
    """The record to be sent for a letter.

    Raises:
        UnreadableError: it would be refused again.
    """
    known = contracts.get(letter.topic.removeprefix(prefix))
    if known is None or not letter.topic.startswith(prefix):
        raise UnreadableError("unknown_topic", f"{letter.topic[:300]!r} is none of {', '.join(contracts)}")
    if letter.truncated and mended is None:
        raise UnreadableError("truncated", f"only a part of its {letter.size} bytes was kept; give it whole")
    headers, value = _with_new_id(letter, mended if mended is not None else letter.value or b"")
    record: ConsumerRecord[bytes, bytes] = ConsumerRecord(
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        timestamp=0,
        timestamp_type=0,
        key=letter.key,
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=len(value),
        headers=headers,
    )
    # A mended event may be about another preview than its key said.
    return Redriven(str(read_event(record, known).event.preview_file_id).encode(), headers, value)


def _with_new_id(letter: DeadLetter, value: bytes) -> tuple[Headers, bytes]:
    def new(old: str) -> str:
        return f"{_AGAIN.sub('', old)[:_MAX_ID]}/redrive-{letter.id}"

    headers = [
        (name, new(text.decode(errors="replace")).encode() if name == "ce_id" else text)
        for name, text in letter.headers
    ]
    if dict(headers).get("content-type", b"").startswith(b"application/cloudevents+json"):
        try:
            envelope = json.loads(value)
            return headers, json.dumps({**envelope, "id": new(str(envelope["id"]))}).encode()
        except (ValueError, KeyError, TypeError):
            pass  # reading it says what is wrong
    return headers, value


async def _send(producer: AIOKafkaProducer, own_topic: str, batch: Sequence[tuple[DeadLetter, Redriven]]) -> None:
    sent = [
        await producer.send(letter.topic, key=record.key, value=record.value, headers=record.headers)
        for letter, record in batch
    ]
    for delivery in sent:
        await delivery
    # Only then: a crash between the two sends a letter again, under the same id.
    marked = [
        await producer.send(own_topic, key=letter.key, value=b"", headers=[(_MARKER, letter.id.encode())])
        for letter, _ in batch
    ]
    for delivery in marked:
        await delivery
