"""One job: copy what a site lacks of a preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog
from rushes_runtime import fenced_writes
from rushes_runtime.database import Database, after_commit
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.figures import Figure
from rushes_runtime.ledger import Task
from rushes_runtime.metrics import JOBS
from rushes_runtime.store import ObjectAbsentError, Store, prove_whole
from rushes_runtime.worker import Progress
from rushes_schemas import FailureCode, StoredFile
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_syncer import metrics, sites
from rushes_syncer.copying import copy_object
from rushes_syncer.deciding import Decision, SyncRules, wanted_files
from rushes_syncer.sites import Held

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CopyResult:
    """What an attempt copied, and how many objects the main store no longer has."""

    copied: tuple[Held, ...]
    absent: int


class CopyWorkshop:
    """Jobs on previews at sites."""

    def __init__(
        self, database: Database, main: Store, stores: Mapping[str, Store], rules: SyncRules, instance: str
    ) -> None:
        self._database = database
        self._main = main
        self._stores = stores
        self._rules = rules
        self._instance = instance
        JOBS.labels("copy", "done", "")  # from the start, so that the first of a kind is seen as one more
        for code in FailureCode:
            JOBS.labels("copy", "failed", code.value)

    async def attempt(self, task: Task, progress: Progress, scratch: Path) -> CopyResult:
        """Copy every wanted object that the site does not hold in this version."""
        site, preview_file_id = sites.parse_subject(task.subject)
        progress.stalls_as = FailureCode.STORAGE_UNAVAILABLE
        async with self._database.begin() as connection:
            row = (await sites.lock(connection, site, [preview_file_id])).get(preview_file_id)
            held = await sites.held(connection, site, preview_file_id)
        if row is None or row.decision is not Decision.COPY:
            return CopyResult((), 0)
        store = self._stores.get(site)
        if store is None:
            raise AttemptFailedError(FailureCode.INTERNAL, f"the site {site!r} is not in SITES of this worker")
        wanted = wanted_files(row.files, self._rules)
        copied: list[Held] = []
        absent: list[StoredFile] = []
        for count, stored in enumerate(wanted):
            progress.at("copying", count / len(wanted))
            if _is_held(held.get((stored.bucket, stored.key)), stored):
                metrics.OBJECTS.labels(site, "held").inc()
                metrics.BYTES.labels(site, "held").inc(stored.bytes)
                continue
            try:
                copied.append(await self._copy(store, stored, preview_file_id, scratch, progress))
                metrics.OBJECTS.labels(site, "copied").inc()
                metrics.BYTES.labels(site, "copied").inc(copied[-1].bytes)
            except ObjectAbsentError:
                await prove_whole(self._main, stored.bucket, self._instance)
                absent.append(stored)
        if absent and not task.looks:  # the store may have come back between the two questions
            what = f"{absent[0].bucket}/{absent[0].key}"
            raise AttemptFailedError(
                FailureCode.SOURCE_MISSING, f"{self._main.name} shows no {what}; it is looked for again"
            )
        for stored in absent:
            metrics.OBJECTS.labels(site, "absent").inc()
            log.warning("absent_at_source", bucket=stored.bucket, key=stored.key)
        return CopyResult(tuple(copied), len(absent))

    async def _copy(
        self, store: Store, stored: StoredFile, preview_file_id: UUID, scratch: Path, progress: Progress
    ) -> Held:
        copy = await copy_object(
            self._main,
            store,
            stored.bucket,
            stored.key,
            scratch,
            over=await fenced_writes.seen(store, stored.bucket, stored.key),
            size=stored.bytes,
            sha256=stored.sha256,
            moved=lambda _moved: progress.moved(),
        )
        return Held(stored.bucket, stored.key, preview_file_id, copy.bytes, copy.sha256, copy.etag, copy.source_etag)

    async def lock(self, connection: AsyncConnection, subject: str) -> None:
        """Lock a preview's row at its site."""
        site, preview_file_id = sites.parse_subject(subject)
        await sites.lock(connection, site, [preview_file_id])

    async def joined(self, connection: AsyncConnection, task: Task, waiting: UUID) -> None:
        """Nothing hangs on the task."""

    async def doubts(self, connection: AsyncConnection, task: Task, *, ends: bool) -> bool:
        """Never: no copy ends with an absent source."""
        return False

    async def succeeded(self, connection: AsyncConnection, task: Task, result: CopyResult) -> None:
        """Write down what the site holds now."""
        site, _ = sites.parse_subject(task.subject)
        await sites.hold(connection, site, result.copied)
        after_commit(connection, lambda: self._count_done(site, task))

    def _count_done(self, site: str, task: Task) -> None:
        JOBS.labels("copy", "done", "").inc()
        metrics.DELAY.labels(site).observe(max(0.0, (datetime.now(UTC) - task.created_at).total_seconds()))

    async def failed(self, connection: AsyncConnection, task: Task, failure: AttemptFailedError) -> None:
        """Write down that the site lacks something; a full pass puts it right."""
        site, preview_file_id = sites.parse_subject(task.subject)
        await sites.mark_failed(connection, site, preview_file_id, failure.code)
        after_commit(connection, lambda: self._count_failed(site, failure))

    def _count_failed(self, site: str, failure: AttemptFailedError) -> None:
        metrics.OBJECTS.labels(site, "failed").inc()
        JOBS.labels("copy", "failed", failure.code.value).inc()

    async def tidy(self, connection: AsyncConnection) -> None:
        """Nothing stands half done: a copy is a task, and a lost one expires."""

    async def measure(self, connection: AsyncConnection) -> Sequence[Figure]:
        """Per site: what waits, and what its last full pass left."""
        return await sites.figures(connection)


def _is_held(held: Held | None, stored: StoredFile) -> bool:
    if held is None or held.bytes != stored.bytes:
        return False
    return held.sha256 == stored.sha256 if stored.sha256 else held.source_etag == stored.etag
