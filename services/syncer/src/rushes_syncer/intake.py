"""Intake of status changes for one site."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from rushes_runtime import ledger
from rushes_runtime.database import after_commit
from rushes_runtime.envelopes import Received
from rushes_runtime.intake import Refused
from rushes_runtime.ledger import NewTask
from rushes_schemas import CONTRACTS, Event, StatusChanged
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_syncer import site_states, sites
from rushes_syncer.deciding import Decision, PreviewFacts, SyncRules, decide_record, wanted_files
from rushes_syncer.sites import SitePreview

CONTRACTS_BY_TOPIC: Final = {
    "status-changed": [contract for contract in CONTRACTS if contract.topic == "status-changed"]
}

_LANES: Final = {Decision.COPY: "copy", Decision.PRUNE: "prune"}


class StatusIntake:
    """Turns status changes into copies to be made at a site."""

    def __init__(self, site: str, rules: SyncRules) -> None:
        self._site = site
        self._rules = rules
        self._known = False

    async def handle(self, connection: AsyncConnection, events: Sequence[Received]) -> list[Refused]:
        """Write what follows from a batch of new events; older ones than were seen change nothing."""
        if not self._known:
            await site_states.first_seen(connection, self._site)
            after_commit(connection, self._is_known)
        latest = sites.newest(received.event for received in events if isinstance(received.event, StatusChanged))
        traces = {_place(received.event): received.traceparent for received in events}
        now = datetime.now(UTC)
        rows = [self._row(event, now) for event in latest.values()]
        written = await sites.save(connection, rows)
        await ledger.enqueue(
            connection,
            [
                NewTask(
                    row.subject,
                    _LANES[row.decision],
                    now,
                    {},
                    traceparent=traces.get((row.preview_file_id, row.version)),
                )
                for row in rows
                if row.decision in _LANES and row.preview_file_id in written
            ],
        )
        return []

    def _is_known(self) -> None:
        self._known = True

    def _row(self, event: StatusChanged, now: datetime) -> SitePreview:
        uploaded_at = event.upload.uploaded_at if event.upload else event.created_at or event.occurred_at
        facts = PreviewFacts(event.internal_status, event.deleted, event.project_id, uploaded_at)
        decision = decide_record(facts, event.files, self._rules, now)
        wanted = wanted_files(event.files, self._rules) if decision is Decision.COPY else []
        return SitePreview(
            site=self._site,
            preview_file_id=event.preview_file_id,
            version=event.version,
            status=event.internal_status,
            project_id=event.project_id,
            files=tuple(event.files),
            deleted=event.deleted,
            decision=decision,
            uploaded_at=uploaded_at,
            wanted_bytes=sum(stored.bytes for stored in wanted),
        )


def _place(event: Event) -> tuple[UUID, int]:
    return event.preview_file_id, event.version if isinstance(event, StatusChanged) else 0
