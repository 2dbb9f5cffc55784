"""Intake of uploads, deletions and requests: one transaction writes all that follows from a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final, TypeAlias
from uuid import UUID

from rushes_runtime import ledger, outbox
from rushes_runtime.envelopes import Received, UnreadableError
from rushes_runtime.intake import Refused
from rushes_runtime.ledger import NewTask
from rushes_runtime.outbox import Outgoing
from rushes_schemas import (
    CONTRACTS,
    PreviewDeleted,
    PreviewUploaded,
    RenormalizeRequested,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_normalizer import previews, requests
from rushes_normalizer.folding import Folded, Lane, NewRequest
from rushes_normalizer.settings import NormalizerSettings
from rushes_normalizer.transitions import announcement, status_changed

CONTRACTS_BY_TOPIC: Final = {
    topic: [contract for contract in CONTRACTS if contract.topic == topic]
    for topic in ("preview-uploaded", "renormalize-requested")
}


def group_of(instance: str) -> str:
    """The normalizer's consumer group."""
    return f"{instance}.normalizer"


Traces: TypeAlias = Mapping[str, str | None]  # by event id


class UploadIntake:
    """Turns events into rows, requests, jobs and status changes."""

    def __init__(self, settings: NormalizerSettings) -> None:
        self._expose_missing = settings.expose_missing
        self._kind = cache(settings.kind)
        self._offsets = {
            Lane.UPLOAD: timedelta(0),
            Lane.SINGLE: timedelta(seconds=settings.single_offset),
            Lane.BULK: timedelta(seconds=settings.bulk_offset),
        }
        self._fairness = settings.fairness()
        self._large_from = settings.large_from()

    async def handle(self, connection: AsyncConnection, events: Sequence[Received]) -> list[Refused]:
        """Write what follows from a batch of new events."""
        ids = list(dict.fromkeys(received.event.preview_file_id for received in events))
        changing = {each.event.preview_file_id for each in events if not isinstance(each.event, RenormalizeRequested)}
        held = await previews.lock(connection, ids, without_files=[each for each in ids if each not in changing])
        folded = {each: Folded(held.get(each), held.get(each)) for each in ids}
        now = datetime.now(UTC)
        refused: list[Refused] = []
        for received in events:
            try:
                self._fold(folded[received.event.preview_file_id], received, now)
            except UnreadableError as reason:
                refused.append((received, reason))
        await self._write(connection, list(folded.values()), now, events)
        # Whoever waits for a request learns of its end from its row.
        await requests.add(connection, [_refused(received) for received, _ in refused], {})
        return refused

    def _fold(self, folded: Folded, received: Received, now: datetime) -> None:
        event = received.event
        match event:
            case PreviewUploaded():
                folded.uploaded(event, received.event_id, received.source, kind=self._kind, now=now)
            case RenormalizeRequested():
                folded.renormalized(event, received.event_id, received.source)
            case PreviewDeleted():
                folded.deleted(event, received.event_id, received.source)
            case _:
                raise UnreadableError("unknown_type", type(event).__name__)

    async def _write(
        self, connection: AsyncConnection, all_folded: list[Folded], now: datetime, events: Sequence[Received]
    ) -> None:
        traces = {received.event_id: received.traceparent for received in events}
        changed = [folded for folded in all_folded if folded.changed]
        await previews.save(connection, [folded.row for folded in changed if folded.row])
        deleted = [folded.row.id for folded in changed if folded.row and folded.row.deleted_at]
        if deleted:
            await requests.cancel(connection, deleted)
        wanted = [task for folded in all_folded if (task := self._task(folded, now, traces))]
        wanted = self._fairness.spread(wanted, await ledger.last_ranks(connection, wanted))
        tasks = await ledger.enqueue(connection, wanted)
        await requests.add(
            connection,
            [(folded.row.id, request) for folded in all_folded if folded.row for request in folded.requests],
            tasks,
        )
        await outbox.put(connection, [self._event(folded, now, traces) for folded in changed])

    def _task(self, folded: Folded, now: datetime, traces: Traces) -> NewTask | None:
        if folded.row is None or folded.lane is None:
            return None
        encoding = folded.encoding.model_dump(mode="json", exclude_none=True) if folded.encoding else None
        return NewTask(
            str(folded.row.id),
            folded.lane,
            now + self._offsets[folded.lane],
            {"encoding": encoding},
            share=str(folded.row.project_id or ""),
            batched=folded.lane is Lane.BULK,
            large=self._large_from.has_bytes(folded.row.source.bytes),
            traceparent=_trace(folded, traces),
        )

    def _event(self, folded: Folded, now: datetime, traces: Traces) -> Outgoing:
        assert folded.row
        event = status_changed(
            folded.before,
            folded.row,
            job_state="queued" if folded.lane else "done",
            request_ids=[request.event_id for request in folded.requests],
            attempt=0,
            expose_missing=self._expose_missing,
            now=now,
        )
        return Outgoing.of(announcement(event, now=now, traceparent=_trace(folded, traces)))


def _trace(folded: Folded, traces: Traces) -> str | None:
    """The trace of the last request of a batch that has one."""
    return next((trace for each in reversed(folded.requests) if (trace := traces.get(each.event_id))), None)


def _refused(received: Received) -> tuple[UUID, NewRequest]:
    kind = "delete" if isinstance(received.event, PreviewDeleted) else "renormalize"
    return received.event.preview_file_id, NewRequest(received.event_id, received.source, kind, outcome="refused")
