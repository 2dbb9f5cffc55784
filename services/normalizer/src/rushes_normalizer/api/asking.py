"""Sends requests for renormalization to the bus, as `rushes-normalizer renormalize` does."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID, uuid4, uuid5

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from rushes_runtime.kafka import CredentialFiles, make_producer, part_with
from rushes_runtime.settings import KafkaSettings
from rushes_schemas import Envelope, RenormalizeRequested

from rushes_normalizer.api.access import Caller
from rushes_normalizer.api.answers import RenormalizeWish
from rushes_normalizer.publish import EventSender

_SOURCE: Final = "/rushes/api"
_REQUESTS: Final = UUID("5f0c2a52-6e1b-4a38-8d0e-3d4a0a6f7b21")  # a name space of ours


def request_for(caller: Caller, preview_file_id: UUID, wish: RenormalizeWish, idempotency_key: str | None) -> Envelope:
    """The request that a call asks for.

    The same key of the same caller for the same preview names the same event, and intake takes an event in once. So a
    call may be repeated, at any process, and nothing has to be remembered here.
    """
    named = f"{caller.key}\n{preview_file_id}\n{idempotency_key}"
    return Envelope(
        RenormalizeRequested(
            preview_file_id=preview_file_id,
            reason=wish.reason,
            requested_by=caller.name[:250],
            priority=wish.priority,
            encoding=wish.encoding,
        ),
        source=_SOURCE,
        event_id=str(uuid5(_REQUESTS, named) if idempotency_key else uuid4()),
    )


class RequestSender:
    """A producer that is made when it is first needed, and made anew when it failed or its credentials changed."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._making = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._files = CredentialFiles(kafka)

    async def send(self, envelope: Envelope) -> None:
        """Send a request, and wait until the broker has it.

        Raises:
            aiokafka.errors.KafkaError: the broker did not take it.
        """
        producer = await self._made()
        try:
            await EventSender(producer, self._kafka.topic_prefix).send([envelope])
        except KafkaError:
            await self._end(producer)
            raise

    async def close(self) -> None:
        """Send what waits, and end the producer."""
        if self._producer:
            await self._end(self._producer)

    async def _made(self) -> AIOKafkaProducer:
        async with self._making:
            if self._producer and self._files.changed():
                await self._end(self._producer)
            if self._producer is None:
                self._files = CredentialFiles(self._kafka)
                producer = make_producer(self._kafka)
                try:
                    await producer.start()
                except BaseException:
                    await part_with(producer)
                    raise
                self._producer = producer
            return self._producer

    async def _end(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
        await part_with(producer)
