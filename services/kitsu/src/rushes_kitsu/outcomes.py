"""Intake of status changes: what became of the uploads that Zou has dispatched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from rushes_runtime.database import after_commit
from rushes_runtime.envelopes import Received
from rushes_runtime.intake import Refused
from rushes_schemas import CONTRACTS, PreviewStatus, StatusChanged
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_kitsu import announced, dispatches, metrics
from rushes_kitsu.announced import played_bytes
from rushes_kitsu.dispatches import JobState, UploadEnd

CONTRACTS_BY_TOPIC: Final = {
    "status-changed": [contract for contract in CONTRACTS if contract.topic == "status-changed"]
}
_DELETED: Final = "deleted"


def upload_end(event: StatusChanged) -> UploadEnd | None:
    """How the upload that the event tells of has ended; None while it has not.

    It is told from the state itself, not from the job that led to it: the topic keeps the latest state of each preview,
    so that an end is learned also by whoever was away when it was announced.
    """
    if event.upload is None:
        return None
    if event.deleted:
        message = "the preview was deleted"
        return UploadEnd(event.preview_file_id, event.upload.uploaded_at, _DELETED, message)
    match event.internal_status:
        case PreviewStatus.READY:
            return UploadEnd(
                event.preview_file_id,
                event.upload.uploaded_at,
                width=event.width,
                height=event.height,
                duration=event.duration,
                file_size=played_bytes(event),
            )
        case PreviewStatus.BROKEN | PreviewStatus.MISSING:
            code = event.error.code if event.error else event.internal_status
            message = event.error.message if event.error else ""
            return UploadEnd(event.preview_file_id, event.upload.uploaded_at, code, message)
        case _:  # in work, or a status of a later version
            return None


class OutcomeIntake:
    """Ends dispatched jobs, and keeps what was said of each preview."""

    async def handle(self, connection: AsyncConnection, events: Sequence[Received]) -> list[Refused]:
        """Write down the ends that a batch tells of."""
        ends = [
            end
            for received in events
            if isinstance(received.event, StatusChanged) and (end := upload_end(received.event))
        ]
        await announced.keep(connection, events)
        for state, seconds in await dispatches.end(connection, ends):
            after_commit(connection, partial(count_end, state, seconds))
        return []


def count_end(state: JobState, seconds: float) -> None:
    """Count a job that has ended, and the seconds since its dispatch."""
    metrics.JOBS.labels(state.value).inc()
    metrics.WAITED.observe(seconds)
