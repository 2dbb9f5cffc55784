"""One job: read the source, make the outputs, publish them, say what became of the preview."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from rushes_runtime import ledger, outbox
from rushes_runtime.database import Database, after_commit, answer_of
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.fenced_writes import LostLeaseError, confirm_held
from rushes_runtime.figures import Figure
from rushes_runtime.ledger import Task
from rushes_runtime.metrics import JOBS
from rushes_runtime.outbox import Outgoing
from rushes_runtime.store import ObjectAbsentError, Store, StoreUnavailableError, prove_whole
from rushes_runtime.worker import Progress
from rushes_schemas import (
    FAILURES,
    Encoding,
    FailureCode,
    ObjectKind,
    PreviewStatus,
    StoredFile,
    is_transient,
)
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_normalizer import absences, metrics, orphans, previews, purging, requests
from rushes_normalizer.kinds import UploadKind, stored_kind
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.make import Made, Stage, make_movie, make_picture
from rushes_normalizer.media.tools import Tools
from rushes_normalizer.previews import PreviewRow
from rushes_normalizer.publishing import Publisher
from rushes_normalizer.settings import NormalizerSettings
from rushes_normalizer.transitions import (
    NormalizeFailedError,
    Published,
    after_failed_job,
    after_success,
    announcement,
    status_changed,
    tombstone,
)

log = structlog.get_logger(__name__)

# Outputs are about as large as the source, or a few bitrates long; this much room lets most jobs end.
_ROOM_PER_SOURCE_BYTE: Final = 3

_TO_BURY: Final = text("""
    UPDATE preview_file SET tombstone_at = now()
    WHERE id IN (SELECT id FROM preview_file
                 WHERE deleted_at IS NOT NULL AND tombstone_at IS NULL
                   AND updated_at < now() - make_interval(secs => :age)
                 LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING id, version""")


def _replaced(read: StoredFile) -> AttemptFailedError:
    return AttemptFailedError(FailureCode.SOURCE_CHANGED, f"{read.bucket}/{read.key} was replaced during the attempt")


class PreviewWorkshop:
    """Jobs on previews."""

    def __init__(self, settings: NormalizerSettings, database: Database, store: Store, tools: Tools) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._tools = tools
        self._size_check = settings.size_check()
        self._orphans_after = orphans.START
        for kind in UploadKind:  # from the start, so that the first of a kind is seen as one more
            JOBS.labels(kind.value, PreviewStatus.READY.value, "")
            metrics.UPLOAD_READY.labels(kind.value)
            for code, facts in FAILURES.items():
                JOBS.labels(kind.value, facts.ends_as.value, code.value)

    async def attempt(self, task: Task, progress: Progress, scratch: Path) -> Published | None:
        """Make and publish every output of a preview, or purge those of a deleted one."""
        row = await self._read(UUID(task.subject), progress)
        if task.lane == purging.LANE:
            if row is not None and row.deleted_at is not None:
                progress.stalls_as = FailureCode.STORAGE_UNAVAILABLE
                await purging.purge(self._store, row, lambda: self._confirm(task, progress))
            return None
        if row is None or row.deleted_at is not None:
            raise LostLeaseError
        try:
            return await self._make_and_publish(row, task, progress, scratch)
        except MediaError as error:
            log.warning("media_failed", code=error.code.value, message=error.message, said=error.said)
            failure = AttemptFailedError(error.code, error.message, for_artist=error.for_artist)
        except AttemptFailedError as error:
            failure = error
        keep = self._settings.keep_playable and row.status is PreviewStatus.READY
        playable = keep and await self._all_outputs_exist(row)
        raise NormalizeFailedError(failure, uploaded_at=row.uploaded_at, playable=playable) from None

    async def _make_and_publish(self, row: PreviewRow, task: Task, progress: Progress, scratch: Path) -> Published:
        source, path = await self._download(row, progress, scratch)
        try:
            made = await self._make(row, task, progress, path, scratch)
        except MediaError as error:
            if not is_transient(error.code):
                await self._check_reads_alike(source, progress, path)
            raise
        progress.stalls_as = FailureCode.STORAGE_UNAVAILABLE
        await self._check_unchanged(row, source, progress)
        publisher = Publisher(
            self._store,
            row.id,
            {(stored.bucket, stored.key): stored.etag for stored in row.files},
            lambda: self._confirm(task, progress),
            lambda _moved: progress.moved(),
        )
        files = []
        outputs = made.outputs if made else ()
        for count, output in enumerate(outputs):
            progress.at("publishing", 0.9 + 0.1 * count / len(outputs))
            files.append(await publisher.publish(output.kind, output.path))
        await self._check_unchanged(row, source, progress)
        return Published(source, tuple(files), made.facts if made else None, row.uploaded_at)

    async def _download(self, row: PreviewRow, progress: Progress, scratch: Path) -> tuple[StoredFile, Path]:
        progress.stalls_as = FailureCode.STORAGE_UNAVAILABLE
        progress.at("downloading", 0.0)
        bucket, key = row.source.bucket, row.source.key
        stat = await self._store.stat(bucket, key)
        if stat is None:
            raise await self._absent(bucket, key)
        if stat.bytes == 0:
            raise AttemptFailedError(FailureCode.SOURCE_EMPTY, f"{bucket}/{key} has 0 bytes")
        if stat.bytes > self._settings.max_source_bytes:
            raise AttemptFailedError(
                FailureCode.LIMITS_EXCEEDED,
                f"{bucket}/{key} has {stat.bytes} bytes; MAX_SOURCE_BYTES is {self._settings.max_source_bytes}",
            )
        self._size_check.bytes(stat.bytes)
        free = shutil.disk_usage(scratch).free
        if free < _ROOM_PER_SOURCE_BYTE * stat.bytes:
            raise AttemptFailedError(
                FailureCode.OUT_OF_DISK,
                f"{free} bytes free in scratch; a source of {stat.bytes} needs {_ROOM_PER_SOURCE_BYTE} times that",
            )
        path = scratch / "source"
        try:
            read = await self._store.download(bucket, key, path, lambda _moved: progress.moved())
        except ObjectAbsentError:
            raise await self._absent(bucket, key) from None
        said = row.source.sha256 if row.source.etag == read.etag else None
        if said not in {None, read.sha256}:
            raise StoreUnavailableError(f"{bucket}/{key} came damaged: its SHA-256 is not what its event says")
        stored = {
            "kind": stored_kind(row.source).value,
            "bucket": bucket,
            "key": key,
            "bytes": read.bytes,
            "etag": read.etag,
            "sha256": read.sha256,
        }
        return StoredFile.model_validate(stored), path

    async def _check_reads_alike(self, read: StoredFile, progress: Progress, path: Path) -> None:
        """A verdict against a file is about what lies in the store, not about bytes that were damaged on the way.

        Raises:
            AttemptFailedError: the file comes otherwise when it is read again, or not at all.
        """
        progress.stalls_as = FailureCode.STORAGE_UNAVAILABLE
        try:
            again = await self._store.download(read.bucket, read.key, path, lambda _moved: progress.moved())
        except ObjectAbsentError:
            raise _replaced(read) from None
        if again.etag != read.etag:
            raise _replaced(read)
        if again.sha256 != read.sha256:
            raise StoreUnavailableError(f"{read.bucket}/{read.key} came damaged: two reads of it differ")

    async def _absent(self, bucket: str, key: str) -> AttemptFailedError:
        """What an absent source means, once the store has proven itself whole in the same look."""
        await prove_whole(self._store, bucket, self._settings.instance)
        return AttemptFailedError(FailureCode.SOURCE_MISSING, f"{self._store.name} has no {bucket}/{key}")

    async def _make(self, row: PreviewRow, task: Task, progress: Progress, source: Path, scratch: Path) -> Made | None:
        progress.stalls_as = FailureCode.TIMEOUT
        limits = self._settings.limits()
        # Beside the source, which ffmpeg may only read.
        outputs = scratch / "outputs"
        outputs.mkdir()

        def report(stage: Stage, fraction: float) -> None:
            progress.at(stage.value, 0.05 + 0.85 * fraction)
            progress.moved()

        match self._settings.kind(row.upload_extension):
            case UploadKind.MOVIE:
                wishes = task.payload.get("encoding")
                return await make_movie(
                    self._tools,
                    source,
                    outputs,
                    encoding=Encoding.model_validate(wishes) if wishes else Encoding(),
                    defaults=self._settings.encoding_defaults(),
                    limits=limits,
                    progress=report,
                    decode_all=self._settings.verify == "full",
                    frame_is=self._size_check.frame,
                )
            case UploadKind.PICTURE:
                return await make_picture(
                    source,
                    outputs,
                    keep_original=stored_kind(row.source) is ObjectKind.ORIGINAL,
                    limits=limits,
                    progress=report,
                )
            case UploadKind.FILE:
                return None

    async def _read(self, preview_file_id: UUID, progress: Progress) -> PreviewRow | None:
        async def look() -> PreviewRow | None:
            async with self._database.begin() as connection:
                return await previews.read(connection, preview_file_id)

        return await answer_of(look, progress.moved)

    async def _check_unchanged(self, row: PreviewRow, read: StoredFile, progress: Progress) -> None:
        stat = await self._store.stat(read.bucket, read.key)
        now = await self._read(row.id, progress)
        replaced = now is not None and now.uploaded_at != row.uploaded_at
        if replaced or stat is None or stat.etag != read.etag:
            raise _replaced(read)

    async def _confirm(self, task: Task, progress: Progress) -> None:
        await confirm_held(self._database, task, progress.moved)

    async def _all_outputs_exist(self, row: PreviewRow) -> bool:
        sources = {ObjectKind.SOURCE_MOVIE.value, ObjectKind.SOURCE_PICTURE.value}
        outputs = [stored for stored in row.files if stored.kind not in sources]
        for stored in outputs:
            there = await self._store.stat(stored.bucket, stored.key)
            if there is None or there.bytes != stored.bytes:
                return False
        return bool(outputs)

    async def lock(self, connection: AsyncConnection, subject: str) -> None:
        """Lock a preview's row."""
        await previews.lock_alone(connection, [UUID(subject)])

    async def joined(self, connection: AsyncConnection, task: Task, waiting: UUID) -> None:
        """Let the waiting task answer the requests."""
        await requests.move(connection, task.id, waiting)

    async def doubts(self, connection: AsyncConnection, task: Task, *, ends: bool) -> bool:
        """Count an absence; whether a flood of them keeps the preview from becoming `missing`."""
        if not await ledger.still_held(connection, task):
            return False
        preview_file_id = UUID(task.subject)
        if not ends:
            await absences.seen(connection, [preview_file_id])
            return False
        held = await absences.confirmed(connection, [preview_file_id], self._settings.flood_limits())
        if held:
            log.error("absence_held", hint="a flood of absent sources: rushes-normalizer absences")
        return bool(held)

    async def succeeded(self, connection: AsyncConnection, task: Task, result: Published | None) -> None:
        """Write `ready` and its event; of a purge, that it was."""
        if result is None:
            await purging.purged(connection, task)
            return
        row = await self._row(connection, task)
        if not await self._superseded(connection, task, row, result.uploaded_at):
            after = after_success(row, result, task.fence)
            await previews.save(connection, [after])
            await self._announce(connection, [(task, row, after)], "done")

    async def failed(self, connection: AsyncConnection, task: Task, failure: AttemptFailedError) -> None:
        """Write `broken` or `missing` and its event; a purge comes again."""
        if task.lane == purging.LANE:
            return
        await self.all_failed(connection, [(task, await self._row(connection, task), failure)])

    async def all_failed(
        self, connection: AsyncConnection, failures: Sequence[tuple[Task, PreviewRow, AttemptFailedError]]
    ) -> None:
        """Write `broken` or `missing` and the events of many previews, each of another; their rows are locked."""
        moves = []
        for task, row, failure in failures:
            read = failure.uploaded_at if isinstance(failure, NormalizeFailedError) else None
            if not await self._superseded(connection, task, row, read):
                moves.append((task, row, after_failed_job(row, failure, task.fence)))
        if moves:
            await previews.save_status(connection, [after for _, _, after in moves])
            await self._announce(connection, moves, "failed")

    async def _superseded(
        self, connection: AsyncConnection, task: Task, row: PreviewRow, uploaded_at: datetime | None
    ) -> bool:
        """Whether another file was uploaded since: its own job answers, and this result says nothing of it.

        Args:
            uploaded_at: of the upload that was read. None: an attempt that died, or was ended, didn't say; while the
                preview is in `processing`, a job that waits may be another upload's, and answers.
        """
        if row.uploaded_at == uploaded_at:
            return False
        waiting = await ledger.waiting(connection, task.subject)
        if uploaded_at is None and not (waiting and row.status is PreviewStatus.PROCESSING):
            return False
        if waiting:
            await requests.move(connection, task.id, waiting)
        return True

    async def _row(self, connection: AsyncConnection, task: Task) -> PreviewRow:
        row = await previews.read(connection, UUID(task.subject))
        assert row, f"no preview {task.subject} for a task that ended under its lock"
        return row

    async def _announce(
        self, connection: AsyncConnection, moves: Sequence[tuple[Task, PreviewRow, PreviewRow]], job_state: str
    ) -> None:
        """Write the outcome of the requests of ended tasks, and the events of their previews."""
        now = datetime.now(UTC)
        for _, _, after in moves:
            if after.failure_code != FailureCode.SOURCE_MISSING:
                await absences.found(connection, after.id)
        answered = await requests.end(
            connection, {task.id: (after.status.value, after.failure_code) for task, _, after in moves}
        )
        announcements = [
            announcement(
                status_changed(
                    before,
                    after,
                    job_state=job_state,
                    request_ids=answered[task.id],
                    attempt=task.attempt,
                    expose_missing=self._settings.expose_missing,
                    now=now,
                ),
                now=now,
                traceparent=task.traceparent,
            )
            for task, before, after in moves
        ]
        await outbox.put(connection, [Outgoing.of(each) for each in announcements])
        after_commit(connection, lambda: self._count(moves, now))

    def _count(self, moves: Sequence[tuple[Task, PreviewRow, PreviewRow]], now: datetime) -> None:
        for task, before, after in moves:
            kind = self._settings.kind(after.upload_extension).value
            JOBS.labels(kind, after.status.value, after.failure_code or "").inc()
            if after.status is PreviewStatus.MISSING is not before.status:
                metrics.BECAME_MISSING.inc()
            if before.status is PreviewStatus.PROCESSING and after.status is PreviewStatus.READY:
                metrics.UPLOAD_READY.labels(kind).observe(max(0.0, (now - task.created_at).total_seconds()))

    async def tidy(self, connection: AsyncConnection) -> None:
        """Give orphans a job, and deleted previews their purge and their tombstone."""
        self._orphans_after = await orphans.give_jobs(connection, self._orphans_after)
        await absences.tidy(connection, self._settings.flood_limits())
        await purging.enqueue(
            connection, age=float(self._settings.purge_after), per_minute=self._settings.purges_per_minute
        )
        buried = await connection.execute(_TO_BURY, {"age": float(self._settings.tombstone_after)})
        await outbox.put(connection, [tombstone(row.id, row.version) for row in buried])

    async def measure(self, connection: AsyncConnection) -> Sequence[Figure]:
        """Previews by status, and how many a flood of absences holds."""
        return [
            *await previews.figures(connection),
            Figure(metrics.ABSENCES_HELD, await absences.held(connection)),
        ]
