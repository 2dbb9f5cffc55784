"""One job: copy what a site lacks of a preview, or remove what it must not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
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
from rushes_schemas import PLACES, FailureCode, FilesSynced, ObjectKind, StoredFile, object_key
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_syncer import metrics, site_states, sites, synced
from rushes_syncer.bandwidth import UNLIMITED, Bandwidth
from rushes_syncer.copying import copy_object
from rushes_syncer.deciding import Decision, SyncRules, wanted_files
from rushes_syncer.sites import Held, SitePreview

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CopyResult:
    """What an attempt copied, and how many objects the main store no longer has.

    Attributes:
        row: what the site should hold; None: nothing was to be done.
        pruned: instead, all that the site held of the preview is gone.
    """

    copied: tuple[Held, ...] = ()
    absent: int = 0
    pruned: bool = False
    row: SitePreview | None = None


class CopyWorkshop:
    """Jobs on previews at sites."""

    def __init__(
        self,
        database: Database,
        main: Store,
        stores: Mapping[str, Store],
        rules: Mapping[str, SyncRules],
        instance: str,
        bandwidths: Mapping[str, Bandwidth] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            bandwidths: of the sites that have a limit.
        """
        self._database = database
        self._main = main
        self._stores = stores
        self._rules = rules
        self._instance = instance
        self._bandwidths = bandwidths
        for kind in ("copy", "prune"):  # from the start, so that the first of a kind is seen as one more
            JOBS.labels(kind, "done", "")
            for code in FailureCode:
                JOBS.labels(kind, "failed", code.value)

    async def attempt(self, task: Task, progress: Progress, scratch: Path) -> CopyResult:
        """Copy every wanted object that the site does not hold in this version; or prune."""
        site, preview_file_id = sites.parse_subject(task.subject)
        progress.stalls_as = FailureCode.STORAGE_UNAVAILABLE
        async with self._database.begin() as connection:
            row = (await sites.lock(connection, site, [preview_file_id])).get(preview_file_id)
            held = await sites.held(connection, site, preview_file_id)
        if row is None or row.decision not in {Decision.COPY, Decision.PRUNE}:
            return CopyResult()
        store = self._stores.get(site)
        if store is None:
            raise AttemptFailedError(FailureCode.INTERNAL, f"the site {site!r} is not in SITES of this worker")
        if row.decision is Decision.PRUNE:
            await self._prune(task, store, preview_file_id, progress)
            return CopyResult(pruned=True)
        return await self._copy_lacking(task, store, row, held, progress)

    async def _copy_lacking(
        self,
        task: Task,
        store: Store,
        row: SitePreview,
        held: Mapping[tuple[str, str], Held],
        progress: Progress,
    ) -> CopyResult:
        site, preview_file_id = row.site, row.preview_file_id
        wanted = wanted_files(row.files, self._rules[site])
        copied: list[Held] = []
        absent: list[StoredFile] = []
        for count, stored in enumerate(wanted):
            progress.at("copying", count / len(wanted))
            if _is_held(held.get((stored.bucket, stored.key)), stored):
                metrics.OBJECTS.labels(site, "held").inc()
                metrics.BYTES.labels(site, "held").inc(stored.bytes)
                continue
            try:
                copied.append(await self._copy(site, store, stored, preview_file_id, progress))
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
        return CopyResult(tuple(copied), len(absent), row=row)

    async def _prune(self, task: Task, store: Store, preview_file_id: UUID, progress: Progress) -> None:
        """Remove every object that is named after a preview, even if no job of ours copied it to the site.

        Other objects that the record names stay: they may be sentinels, or belong to other previews.
        """
        places = [(PLACES[kind].bucket, object_key(kind, preview_file_id)) for kind in ObjectKind]
        for count, (bucket, key) in enumerate(places):
            progress.at("pruning", count / len(places))
            await fenced_writes.delete(
                store, bucket, key, lambda: fenced_writes.confirm_held(self._database, task, progress.moved)
            )

    async def _copy(
        self, site: str, store: Store, stored: StoredFile, preview_file_id: UUID, progress: Progress
    ) -> Held:
        copy = await copy_object(
            self._main,
            store,
            stored.bucket,
            stored.key,
            over=await fenced_writes.seen(store, stored.bucket, stored.key),
            size=stored.bytes,
            sha256=stored.sha256,
            moved=lambda _moved: progress.moved(),
            bandwidth=self._bandwidths.get(site, UNLIMITED),
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
        if result.pruned:
            await self._pruned(connection, task)
            return
        await sites.hold(connection, site, result.copied)
        if result.row:
            await self._tell(connection, task, result.row, result.absent)
        after_commit(connection, lambda: self._count_done(site, task))

    async def _tell(self, connection: AsyncConnection, task: Task, row: SitePreview, absent: int) -> None:
        held = await sites.held(connection, row.site, row.preview_file_id)
        event = FilesSynced(
            preview_file_id=row.preview_file_id,
            site=row.site,
            version=row.version,
            objects=len(held),
            bytes=sum(each.bytes for each in held.values()),
            absent=absent,
            occurred_at=datetime.now(UTC),
        )
        await synced.tell(connection, [event], traceparent=task.traceparent)

    async def _pruned(self, connection: AsyncConnection, task: Task) -> None:
        site, preview_file_id = sites.parse_subject(task.subject)
        count = await sites.let_go(connection, site, preview_file_id)
        after_commit(connection, JOBS.labels("prune", "done", "").inc)
        after_commit(connection, lambda: metrics.OBJECTS.labels(site, "pruned").inc(count))

    def _count_done(self, site: str, task: Task) -> None:
        JOBS.labels("copy", "done", "").inc()
        metrics.DELAY.labels(site).observe(max(0.0, (datetime.now(UTC) - task.created_at).total_seconds()))

    async def failed(self, connection: AsyncConnection, task: Task, failure: AttemptFailedError) -> None:
        """Write down that the site lacks something; a full pass puts it right."""
        site, preview_file_id = sites.parse_subject(task.subject)
        await sites.mark_failed(connection, site, preview_file_id, failure.code)
        after_commit(connection, lambda: self._count_failed(site, task, failure))

    def _count_failed(self, site: str, task: Task, failure: AttemptFailedError) -> None:
        metrics.OBJECTS.labels(site, "failed").inc()
        JOBS.labels(task.lane, "failed", failure.code.value).inc()

    async def tidy(self, connection: AsyncConnection) -> None:
        """Nothing stands half done: a copy is a task, and a lost one expires."""

    async def measure(self, connection: AsyncConnection) -> Sequence[Figure]:
        """Per site: what waits, and what its last full pass left."""
        return await site_states.figures(connection)


def _is_held(held: Held | None, stored: StoredFile) -> bool:
    if held is None or held.bytes != stored.bytes:
        return False
    return held.sha256 == stored.sha256 if stored.sha256 else held.source_etag == stored.etag
