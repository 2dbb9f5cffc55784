"""The demo: a studio's day in two minutes, from uploads to a second site."""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rushes_normalizer.kinds import UploadKind, default_source
from rushes_normalizer.media.tools import find_tools
from rushes_normalizer.outcomes import follow_requests
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.publish import EventSender, open_sender, store_upload
from rushes_runtime.database import Database
from rushes_runtime.store import SENTINEL_KEY, LocalStore, Store, open_store
from rushes_schemas import FAILURES, Envelope, FailureCode, PreviewStatus, PreviewUploaded, RenormalizeRequested
from rushes_schemas.outputs import BUCKETS

from rushes_embedded.leash import StartError
from rushes_embedded.samples import Sample, make_samples, own_files
from rushes_embedded.studio import Studio, command_of

SETTINGS: Final = {
    "MISSING_CONFIRM_AFTER": "3",
    "HEARTBEAT": "1",
    "LEASE": "15",
    "JANITOR_INTERVAL": "1",
    "POLL_INTERVAL": "0.2",
    "SKIP_BROKEN": "true",
    "SKIP_MISSING": "true",
}
_SYNC_SECONDS: Final = 60.0
_SILENT_SECONDS: Final = 90.0
_COLOURS: Final = {"ready": "green", "broken": "red", "missing": "magenta"}
_FILES_OF: Final = "SELECT id, status, files FROM preview_file WHERE id = ANY(:ids)"
_FAILED_OF: Final = """
    SELECT id, failure_code, failure_for_artist FROM preview_file WHERE id = ANY(:ids) AND failure_code IS NOT NULL"""


@dataclass
class Upload:
    """A sample on its way; `request` is the event whose outcome counts now."""

    sample: Sample
    preview_file_id: UUID
    request: str = ""
    known: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """Its outcome so far."""
        return str(self.known.get("outcome") or "processing")

    @property
    def ended_as_it_must(self) -> bool:
        """Whether it ended, and as expected if anything is."""
        expected = self.sample.expected
        if expected is None:
            return self.status in set(PreviewStatus) - {PreviewStatus.PROCESSING}
        code = self.known.get("failure_code")
        return self.status == expected.status and (code in expected.codes if expected.codes else code is None)


class Demo:
    """One run of the demo in a studio that runs."""

    def __init__(self, studio: Studio, console: Console) -> None:
        self._studio = studio
        self._console = console
        self._said: set[tuple[str, str]] = set()

    async def run(self, movies: Path | None) -> bool:
        """Run it; whether every preview ended as it must and the second site holds what it should."""
        settings = self._studio.settings()
        samples = await self._samples(movies)
        database = Database.of(settings, SCHEMA)
        try:
            async with open_store(settings.store) as store, open_sender(settings.kafka) as sender:
                uploads = await self._upload(store, sender, samples)
                await self._follow(database, uploads, "uploads")
                await self._tell_artists(database, uploads)
                good = all(upload.ended_as_it_must for upload in uploads)
                if movies is None:
                    good &= await self._repair(database, store, sender, uploads)
                good &= await self._second_site(database, uploads)
                good &= await self._drift()
        finally:
            await database.close()
        self._point_out()
        for upload in uploads:
            if not upload.ended_as_it_must:
                self._console.print(
                    f"[red]{upload.sample.name} ended as {upload.status} {upload.known.get('failure_code') or ''}"
                )
        return good

    async def _samples(self, movies: Path | None) -> list[Sample]:
        if movies is not None:
            return own_files(movies)
        with self._console.status("making movies and pictures") as line:
            return await make_samples(
                find_tools(None, None),
                self._studio.stack.folder / "uploads",
                lambda name: line.update(f"making movies and pictures: {name}"),
            )

    async def _upload(self, store: Store, sender: EventSender, samples: Sequence[Sample]) -> list[Upload]:
        """Store the files and publish their events, as an upstream service would."""
        uploads = [Upload(sample, uuid4()) for sample in samples]
        for upload in uploads:
            source = await self._put(store, upload) if upload.sample.path else None
            event = PreviewUploaded(
                preview_file_id=upload.preview_file_id,
                extension=upload.sample.extension,
                uploaded_at=datetime.now(UTC),
                source=source,
                name=Path(upload.sample.name).stem,
                original_name=upload.sample.name,
            )
            envelope = Envelope(event, source="/demo/uploads")
            upload.request = envelope.event_id
            await sender.send([envelope])
        self._console.print(f"{len(uploads)} previews published on [bold]preview-uploaded")
        return uploads

    async def _put(self, store: Store, upload: Upload) -> Any:
        sample = upload.sample
        assert sample.path
        kind = self._studio.settings().kind(sample.extension)
        return await store_upload(store, sample.path, upload.preview_file_id, sample.extension, kind)

    async def _follow(self, database: Database, uploads: Sequence[Upload], title: str) -> None:
        with Live(console=self._console, refresh_per_second=8, transient=False) as live:
            async with aclosing(follow_requests(database, {upload.request for upload in uploads})) as looks:
                before: Mapping[str, Any] = {}
                changed = time.monotonic()
                async for known in looks:
                    self._studio.check()
                    if known != before:
                        before, changed = known, time.monotonic()
                    if time.monotonic() - changed > _SILENT_SECONDS:
                        msg = f"nothing has moved for {_SILENT_SECONDS:.0f} s: see {self._studio.stack.logs}"
                        raise StartError(msg)
                    for upload in uploads:
                        upload.known = known.get(upload.request, {})
                        self._say(upload)
                    live.update(_table(title, uploads))

    def _say(self, upload: Upload) -> None:
        """Where no live table can be drawn, a line for each end."""
        if not self._console.is_terminal and upload.known.get("outcome"):
            line = (upload.request, upload.status)
            if line not in self._said:
                self._said.add(line)
                self._console.print(f"  {upload.sample.name}: {upload.status} {upload.known['failure_code'] or ''}")

    async def _tell_artists(self, database: Database, uploads: Sequence[Upload]) -> None:
        """What those read whose uploads failed."""
        rows = await database.fetch(_FAILED_OF, ids=[upload.preview_file_id for upload in uploads])
        failures = {row.id: row for row in rows}
        self._console.print("\nwhat the artists read")
        for upload in uploads:
            if failed := failures.get(upload.preview_file_id):
                sentence = failed.failure_for_artist or FAILURES[FailureCode(failed.failure_code)].for_artist
                self._console.print(f"  {upload.sample.name}: [italic]{sentence}", soft_wrap=True)

    async def _repair(self, database: Database, store: Store, sender: EventSender, uploads: Sequence[Upload]) -> bool:
        """Put the missing source in its place, and ask for the preview again."""
        (forgotten,) = [upload for upload in uploads if upload.sample.path is None]
        donor = next(upload.sample for upload in uploads if upload.sample.name == "ordinary.mp4")
        assert donor.path
        kind = UploadKind.MOVIE
        place = default_source(kind, "mp4", forgotten.preview_file_id)
        self._console.print(f"\nrepairing [bold]{forgotten.sample.name}[/]: {place.bucket}/{place.key} is uploaded now")
        await store_upload(store, donor.path, forgotten.preview_file_id, "mp4", kind)
        asked = Envelope(
            RenormalizeRequested(
                preview_file_id=forgotten.preview_file_id, reason="the source is back", requested_by="demo"
            ),
            source="/demo/operator",
        )
        await sender.send([asked])
        again = Upload(forgotten.sample, forgotten.preview_file_id, asked.event_id)
        await self._follow(database, [again], "renormalize-requested")
        return again.status == PreviewStatus.READY

    async def _second_site(self, database: Database, uploads: Sequence[Upload]) -> bool:
        """Wait until the second site holds what it should; show it."""
        names = {upload.preview_file_id: upload.sample.name for upload in uploads}
        rows = await database.fetch(_FILES_OF, ids=list(names))
        wanted: dict[UUID, set[tuple[str, str]]] = {
            row.id: {
                (stored["bucket"], stored["key"])
                for stored in row.files
                if row.status == PreviewStatus.READY and stored["kind"] != "source_movie"
            }
            for row in rows
        }
        site = LocalStore(self._studio.site)
        deadline = time.monotonic() + _SYNC_SECONDS
        held = await _held(site, names)
        while held != wanted and time.monotonic() < deadline:
            self._studio.check()
            await asyncio.sleep(0.2)
            held = await _held(site, names)
        table = Table("preview", "status", "objects at the second site", title="\nsecond site", title_justify="left")
        for row in sorted(rows, key=lambda row: list(names).index(row.id)):
            skipped = "" if wanted[row.id] else " (skipped)"
            table.add_row(
                names[row.id], _coloured(row.status), f"{len(held[row.id])} of {len(wanted[row.id])}{skipped}"
            )
        self._console.print(table)
        return held == wanted

    async def _drift(self) -> bool:
        """Damage the second site; `verify` finds it and puts it right."""
        site = LocalStore(self._studio.site)
        places = [
            site.path(bucket, stat.key)
            for bucket in BUCKETS
            async for stat in site.list(bucket)
            if stat.key != SENTINEL_KEY
        ]
        if not places:
            return True
        self._console.print("\na disk of the second site fails: ", end="")
        lost, *others = places
        lost.unlink()
        self._console.print(f"{lost.name} is lost", end="")
        if others:
            others[-1].write_bytes(bytes(others[-1].stat().st_size))
            self._console.print(f", {others[-1].name} is empty", end="")
        self._console.print()
        codes = [await self._syncer("verify"), await self._syncer("verify", "--repair"), await self._syncer("verify")]
        return codes == [1, 0, 0]

    async def _syncer(self, *arguments: str) -> int:
        """Run a command of the syncer as an operator does, and show what it says; its exit code."""
        self._console.print(f"[bold]rushes-syncer {' '.join(arguments)}")
        process = await asyncio.create_subprocess_exec(
            *command_of("rushes-syncer"),
            *arguments,
            env={**os.environ, **self._studio.environment, "COLUMNS": str(self._console.width)},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        self._console.print(said.decode().rstrip(), markup=False, highlight=False)
        assert process.returncode is not None
        return process.returncode

    def _point_out(self) -> None:
        """Say where everything is, and keep the metrics for reading after the end."""
        folder = self._studio.stack.folder
        for service in self._studio.services:
            with urllib.request.urlopen(f"{self._studio.addresses[service]}/metrics", timeout=5) as answer:  # noqa: S310
                (folder / f"{service}.metrics.txt").write_bytes(answer.read())
        self._console.print(f"\nfiles     {self._studio.site}", soft_wrap=True)
        self._console.print(f"uploads   {folder / 'uploads'}", soft_wrap=True)
        self._console.print(f"metrics   {folder}/*.metrics.txt, as the services served them", soft_wrap=True)
        for service in self._studio.services:
            self._console.print(f"          {self._studio.addresses[service]}/metrics, while the demo runs")
        self._console.print(f"logs      {self._studio.stack.logs}", soft_wrap=True)
        self._console.print("`make up` keeps the stack running to try more.")


async def _held(site: LocalStore, names: Mapping[UUID, str]) -> dict[UUID, set[tuple[str, str]]]:
    held: dict[UUID, set[tuple[str, str]]] = {each: set() for each in names}
    for bucket in BUCKETS:
        async for stat in site.list(bucket):
            for each in names:
                if stat.key.endswith(str(each)):
                    held[each].add((bucket, stat.key))
    return held


def _table(title: str, uploads: Sequence[Upload]) -> Table:
    table = Table("preview", "what it is", "job", "progress", "status", "code", title=title, title_justify="left")
    for upload in uploads:
        progress = upload.known.get("progress") or {}
        ended = bool(upload.known.get("outcome"))
        fraction = 1.0 if ended else progress.get("fraction", 0.0)
        table.add_row(
            upload.sample.name,
            upload.sample.what,
            "" if ended else progress.get("stage") or upload.known.get("job_state") or "sent",
            ProgressBar(total=1.0, completed=fraction, width=20),
            _coloured(upload.status),
            upload.known.get("failure_code") or "",
        )
    return table


def _coloured(status: str) -> str:
    colour = _COLOURS.get(status)
    return f"[{colour}]{status}[/]" if colour else status
