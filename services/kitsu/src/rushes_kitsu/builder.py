"""One build: read the movies from the store, join them or draw their tile, and write that where Zou looks for it."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import structlog
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.joining import Part, are_alike, join, look_at_part
from rushes_normalizer.media.make import Stage, make_movie
from rushes_normalizer.media.tools import Tools
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime import fenced_writes
from rushes_runtime.database import Database
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.ledger import Task
from rushes_runtime.metrics import JOBS
from rushes_runtime.store import IfAbsent, ObjectAbsentError, PreconditionFailedError, Store, prove_whole
from rushes_runtime.worker import Progress
from rushes_schemas import Encoding, FailureCode, ObjectKind
from rushes_schemas.outputs import MOVIES
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_kitsu.builds import Build
from rushes_kitsu.chores import DispatchChores, end_task
from rushes_kitsu.dispatches import Kind

log = structlog.get_logger(__name__)

Result = TypeVar("Result")
# Movies, what they become where they are coded anew, and what they are joined to.
_ROOM_PER_BYTE: Final = 3
_JOINED: Final = "playlist.mp4"


class Builder(DispatchChores):
    """Builds playlists and tiles."""

    def __init__(
        self, instance: str, retention: float, media: NormalizerSettings, database: Database, store: Store, tools: Tools
    ) -> None:
        """
        Args:
            media: what a movie may cost, and how it is coded.
        """
        super().__init__(retention)
        self._instance = instance
        self._media = media
        self._limits = media.limits()
        self._database = database
        self._store = store
        self._tools = tools
        for kind in (Kind.PLAYLIST, Kind.TILE):  # from the start, so that the first of a kind is seen as one more
            JOBS.labels(kind.value, "done", "")
            for code in FailureCode:
                JOBS.labels(kind.value, "failed", code.value)

    async def attempt(self, task: Task, progress: Progress, scratch: Path) -> None:
        """Build, and write what was built.

        Raises:
            AttemptFailedError: with the failure code.
        """
        build = Build.model_validate(task.payload)
        confirm = partial(fenced_writes.confirm_held, self._database, task, progress.moved)
        try:
            made = await self._make(build, progress, scratch)
        except MediaError as error:
            log.warning("media_failed", code=error.code.value, message=error.message, said=error.said)
            raise AttemptFailedError(error.code, error.message) from None
        progress.stalls_as = FailureCode.STORAGE_UNAVAILABLE
        progress.at("publishing", 0.9)
        bucket, key, content_type = build.place
        if build.kind is Kind.TILE:
            await confirm()
            try:
                await self._store.upload(bucket, key, made, content_type=content_type, condition=IfAbsent())
            except PreconditionFailedError:
                log.info("tile_was_there", key=key)  # the normalizer made it meanwhile, and knows its own
            return
        await fenced_writes.write(
            self._store,
            bucket,
            key,
            made,
            content_type=content_type,
            known_etag=None,
            confirm=confirm,
            moved=lambda _moved: progress.moved(),
        )

    async def _make(self, build: Build, progress: Progress, scratch: Path) -> Path:
        movies = await self._download(build, progress, scratch)
        progress.stalls_as = FailureCode.TIMEOUT
        if build.kind is Kind.TILE:
            return await self._tile(movies[build.of], progress, scratch)
        looked_at: dict[UUID, Part] = {}
        for preview_file_id, path in movies.items():
            progress.at("probing", 0.3)
            looked_at[preview_file_id] = await self._blamed(
                preview_file_id, look_at_part(self._tools, path, scratch, self._limits, alive=progress.moved)
            )
        first = looked_at[build.movies[0]]
        if build.full or not are_alike(list(looked_at.values())):
            looked_at = await self._coded_alike(build, looked_at, first, progress, scratch)
        parts = [looked_at[preview_file_id] for preview_file_id in build.movies]
        progress.at("joining", 0.8)
        return await join(self._tools, parts, scratch, _JOINED, self._limits, alive=progress.moved)

    async def _download(self, build: Build, progress: Progress, scratch: Path) -> Mapping[UUID, Path]:
        """Each movie once, in the best version that there is."""
        progress.stalls_as = FailureCode.STORAGE_UNAVAILABLE
        folder = scratch / "movies"
        folder.mkdir()
        found = {preview_file_id: await self._find(build, preview_file_id) for preview_file_id in build.movies}
        room = _ROOM_PER_BYTE * sum(size for _, size in found.values())
        if (free := shutil.disk_usage(scratch).free) < room:
            raise AttemptFailedError(FailureCode.OUT_OF_DISK, f"{free} bytes free in scratch; these movies need {room}")
        movies = {}
        for number, (preview_file_id, (key, _)) in enumerate(found.items()):
            progress.at("downloading", 0.3 * number / len(found))
            path = folder / f"{number}.mp4"
            try:
                await self._store.download(MOVIES, key, path, lambda _moved: progress.moved())
            except ObjectAbsentError:
                raise await self._absent(preview_file_id) from None
            movies[preview_file_id] = path
        return movies

    async def _find(self, build: Build, preview_file_id: UUID) -> tuple[str, int]:
        """Key and size of a movie."""
        for key in build.keys_of(preview_file_id):
            if stat := await self._store.stat(MOVIES, key):
                return key, stat.bytes
        raise await self._absent(preview_file_id)

    async def _absent(self, preview_file_id: UUID) -> AttemptFailedError:
        await prove_whole(self._store, MOVIES, self._instance)
        return AttemptFailedError(
            FailureCode.SOURCE_MISSING, f"{self._store.name} has no movie of the preview {preview_file_id}"
        )

    async def _coded_alike(
        self, build: Build, movies: Mapping[UUID, Part], first: Part, progress: Progress, scratch: Path
    ) -> dict[UUID, Part]:
        """Each movie as the high definition that an upload would get, all of one size and rate."""
        width, height = (build.width, build.height) if build.width else (first.width, first.height)
        rate = build.fps or f"{first.rate.numerator}/{first.rate.denominator}"
        encoding = Encoding(width=width, height=height or first.height, fps=rate)
        made = {}
        for number, (preview_file_id, part) in enumerate(movies.items()):
            outputs = scratch / f"coded-{number}"
            outputs.mkdir()
            path = await self._blamed(
                preview_file_id,
                self._made(part.path, outputs, encoding, ObjectKind.HIGH_DEFINITION, progress, number / len(movies)),
            )
            part.path.unlink()
            for other in outputs.iterdir():
                if other != path:
                    other.unlink()
            made[preview_file_id] = await look_at_part(self._tools, path, scratch, self._limits, alive=progress.moved)
        if not are_alike(list(made.values())):
            raise AttemptFailedError(FailureCode.INTERNAL, "the movies were coded alike, and are not")
        return made

    async def _tile(self, movie: Path, progress: Progress, scratch: Path) -> Path:
        outputs = scratch / "outputs"
        outputs.mkdir()
        return await self._made(movie, outputs, Encoding(skip_normalization=True), ObjectKind.TILE, progress, 0.0)

    async def _made(
        self, movie: Path, outputs: Path, encoding: Encoding, kind: ObjectKind, progress: Progress, begun: float
    ) -> Path:
        """One of the outputs of a movie."""

        def report(stage: Stage, _fraction: float) -> None:
            progress.at(stage.value, 0.3 + 0.5 * begun)
            progress.moved()

        made = await make_movie(
            self._tools,
            movie,
            outputs,
            encoding=encoding,
            defaults=self._media.encoding_defaults(),
            limits=self._limits,
            progress=report,
        )
        return next(output.path for output in made.outputs if output.kind is kind)

    @staticmethod
    async def _blamed(preview_file_id: UUID, work: Awaitable[Result]) -> Result:
        """Name the movie that something is wrong with."""
        try:
            return await work
        except MediaError as error:
            raise MediaError(error.code, f"preview {preview_file_id}: {error.message}", said=error.said) from None

    async def doubts(self, connection: AsyncConnection, task: Task, *, ends: bool) -> bool:
        """Nothing is called missing here; the build fails, and may be asked for again."""
        return False

    async def succeeded(self, connection: AsyncConnection, task: Task, result: None) -> None:
        """End the jobs that wait for it."""
        await end_task(connection, task)
