"""An old backup is restored under running sites, by the documented steps: nothing is lost, and all ends right."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rushes_embedded.leash import Leash
from rushes_embedded.stack import Stack
from rushes_runtime.database import Database, is_away
from rushes_runtime.store import Unconditional, open_store
from rushes_schemas import PreviewDeleted, PreviewUploaded, RenormalizeRequested, StatusChanged
from sqlalchemy import make_url

from tests.movies import ffmpeg
from tests.world import World, eventually, put_source, source_key, upload

pytestmark = pytest.mark.apache_kafka


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two small movies of half a second, of which nothing is alike."""
    folder = tmp_path_factory.mktemp("clips")
    paths = [folder / "first.mp4", folder / "second.mp4"]
    for path, picture in zip(paths, ("testsrc2", "smptebars"), strict=True):
        ffmpeg("-f", "lavfi", "-i", f"{picture}=size=96x54:rate=10:duration=0.5", "-pix_fmt", "yuv420p", path)
    return paths


class Backups:
    """Backups of a world's database by PostgreSQL's own programs."""

    def __init__(self, world: World, stack: Stack) -> None:
        self._programs = stack.postgres.programs
        self._file = world.folder / "rushes.dump"
        self._url = make_url(world.environment["DATABASE_URL"])
        self._create = stack.postgres.create_database

    def take(self) -> None:
        self._run("pg_dump", "--format=custom", f"--file={self._file}", database=self._name)

    def restore(self) -> None:
        """Beside the database, and then in its place: nobody ever sees the half of it."""
        self._create(f"{self._name}_restored")
        self._run("pg_restore", "--exit-on-error", str(self._file), database=f"{self._name}_restored")
        for statement in (
            f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'",
            f"ALTER DATABASE {self._name} RENAME TO {self._name}_lost",
            f"ALTER DATABASE {self._name}_restored RENAME TO {self._name}",
        ):
            self._run("psql", "--quiet", f"--command={statement}", database="postgres")

    @property
    def _name(self) -> str:
        assert self._url.database
        return self._url.database

    def _run(self, program: str, *arguments: str, database: str) -> None:
        where = ["--host", str(self._url.host), "--port", str(self._url.port), "--username", str(self._url.username)]
        password = {"PGPASSWORD": str(self._url.password)}
        command: list[str | Path] = [self._programs / program, *where, "--dbname", database, *arguments]
        ran = subprocess.run(command, env=os.environ | password, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr


@dataclass
class Site:
    """What a site knows of previews, and its objects' keys and contents."""

    seen: dict[UUID, Any] = field(default_factory=dict)
    hashes: dict[tuple[str, str], str] = field(default_factory=dict)


class Studio:
    """A world with both services as processes, and what a test asks and tells it."""

    def __init__(self, world: World, normalizer: Database, syncer: Database) -> None:
        self.world = world
        self._normalizer = normalizer
        self._syncer = syncer

    async def rows(self) -> dict[UUID, Any]:
        return {row.id: row for row in await self._normalizer.fetch("SELECT * FROM preview_file")}

    async def site(self) -> Site:
        seen = await self._syncer.fetch("SELECT preview_file_id AS id, version, status, deleted FROM site_preview")
        held = await self._syncer.fetch("SELECT bucket, key, sha256 FROM held")
        return Site({row.id: row for row in seen}, {(row.bucket, row.key): row.sha256 for row in held})

    async def put(self, event: PreviewUploaded, clip: Path) -> PreviewUploaded:
        """Store an upload's movie, and say so."""
        async with self.world.store() as store:
            await put_source(store, event.preview_file_id, clip)
        await self.world.send(event)
        return event

    async def delete(self, preview_file_id: UUID) -> None:
        await self.world.send(PreviewDeleted(preview_file_id=preview_file_id, deleted_at=datetime.now(UTC)))

    async def renormalized(self, preview_file_id: UUID, status: str) -> None:
        asked = RenormalizeRequested(preview_file_id=preview_file_id, reason="again", requested_by="me")
        (request,) = await self.world.send(asked)
        ended = "SELECT 1 FROM request WHERE event_id = :id AND outcome = :status"
        await eventually(lambda: self._normalizer.fetch(ended, id=request, status=status))

    async def become(self, wanted: dict[UUID, str], *, at_site: bool = True) -> None:
        """Wait until each preview has its status, the site has seen that, and nothing more is to come."""

        async def look() -> Any:
            try:
                rows, site = await self.rows(), await self.site()
                open_tasks = "SELECT subject FROM task WHERE state IN ('queued', 'running')"
                unsent = await self._normalizer.fetch("SELECT id FROM outbox WHERE sent_at IS NULL") if at_site else []
                waiting = [*await self._normalizer.fetch(open_tasks), *await self._syncer.fetch(open_tasks), *unsent]
            except Exception as error:
                if not is_away(error):
                    raise
                return repr(error)
            said = {each: "deleted" if row.deleted_at else row.status for each, row in rows.items()}
            behind = {
                each
                for each, row in rows.items()
                if at_site and getattr(site.seen.get(each), "version", 0) != row.version
            }
            return (said, behind, waiting)

        await eventually(look, lambda found: found == (wanted, set(), []))


@asynccontextmanager
async def _studio(world: World) -> AsyncIterator[Studio]:
    await world.prepare()
    try:
        async with world.normalizer_database() as normalizer, world.syncer_database() as syncer:
            yield Studio(world, normalizer, syncer)
    finally:
        world.stop_processes()


def _normalizer(world: World, roles: str) -> Leash:
    return world.process("rushes-normalizer", "run", "--roles", roles, log=roles)


async def _republish(world: World) -> tuple[int, Any, str]:
    code, said, errors = await world.command("rushes-normalizer", "republish", "--after-restore", "--json")
    return code, json.loads(said) if said else None, errors


async def test_an_old_backup_under_running_sites_ends_right(world: World, stack: Stack, clips: list[Path]) -> None:
    backups = Backups(world, stack)
    lost, again, gone, hushed, back, same, new, quiet, late = (upload(upload_generation=1) for _ in range(9))
    first, second = clips
    async with _studio(world) as studio:
        syncer = world.process("rushes-syncer", "run", log="syncer")
        works, relays = _normalizer(world, "intake,janitor,worker"), _normalizer(world, "relay")
        for event in lost, again, gone, hushed, same:
            await studio.put(event, first)
        known = {event.preview_file_id: "ready" for event in (lost, again, gone, hushed, same)}
        await studio.become(known)
        await asyncio.to_thread(backups.take)

        # What the backup does not know, and `status-changed` does: …
        for event in new, back:
            await studio.put(event, first)
        known |= {event.preview_file_id: "ready" for event in (new, back)}
        await studio.become(known)
        await studio.delete(gone.preview_file_id)
        await studio.delete(back.preview_file_id)
        await studio.become(known | dict.fromkeys([gone.preview_file_id, back.preview_file_id], "deleted"))
        await studio.put(upload(back.preview_file_id, upload_generation=2), second)
        await studio.put(upload(again.preview_file_id, upload_generation=2), second)
        async with world.store() as store:
            await store.delete("movies", source_key(lost.preview_file_id), condition=Unconditional())
        await studio.renormalized(lost.preview_file_id, "missing")
        await studio.renormalized(same.preview_file_id, "ready")
        known |= {gone.preview_file_id: "deleted", lost.preview_file_id: "missing"}
        await studio.become(known)
        # … and what was taken in and done, but not announced.
        relays.stop()
        await studio.put(quiet, first)
        await studio.delete(hushed.preview_file_id)
        known |= {quiet.preview_file_id: "ready", hushed.preview_file_id: "deleted"}
        await studio.become(known, at_site=False)
        announced = await _newest_announced(world)

        code, _, errors = await _republish(world)
        assert (code, "is in use: stop its service" in errors) == (1, True), errors
        works.stop()
        await asyncio.to_thread(backups.restore)
        assert len(await eventually(studio.rows)) == 5
        await studio.put(late, first)
        known[late.preview_file_id] = "ready"

        code, said, errors = await _republish(world)
        assert code == 0, errors
        assert said["after_restore"] == {"behind": 3, "added": 2, "deleted": 1}
        assert said["rewound"]["records"] > 0
        _normalizer(world, "intake,janitor,worker,relay")
        await studio.become(known)
        assert syncer.poll() is None

        after, site = await studio.rows(), await studio.site()
        read_back = world.folder / "read-back"
        newest = await _newest_announced(world)
        assert newest.keys() == after.keys() == known.keys()
        async with open_store(world.syncer_settings().sites["lyon"]) as copies, world.store() as main:
            for each, row in after.items():
                assert each not in announced or row.version > announced[each].version
                last = newest[each]
                assert (last.version, last.internal_status, last.deleted) == (
                    row.version, row.status, row.deleted_at is not None,
                )  # fmt: skip
                assert (site.seen[each].status, site.seen[each].deleted) == (row.status, row.deleted_at is not None)
                for stored in last.files if row.status == "ready" and not row.deleted_at else []:
                    if stored.kind != "source_movie":
                        there = await copies.download(stored.bucket, stored.key, read_back)
                        assert there.sha256 == stored.sha256 == site.hashes[stored.bucket, stored.key]
                    made = await main.stat(stored.bucket, stored.key)
                    assert made is not None
                    assert made.etag == stored.etag
        assert {after[each.preview_file_id].upload_generation for each in (again, back)} == {2}


async def _newest_announced(world: World) -> dict[UUID, StatusChanged]:
    """The last record of each preview; on the way to it, versions only grow, or a record comes again."""
    newest: dict[UUID, StatusChanged] = {}
    for record in await world.records("status-changed"):
        assert record.value
        event = StatusChanged.model_validate_json(record.value)
        known = newest.get(event.preview_file_id)
        assert known is None or event.version > known.version
        newest[event.preview_file_id] = event
    return newest
