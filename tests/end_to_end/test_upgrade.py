"""A rolling upgrade: the code of the last release works beside this one's, on this one's schema, and can come back.

`released/` holds the services as they were released. After a release, replace it:
`git archive v0.1.0 schemas/src services/{runtime,normalizer,syncer}/src | xz -9 > rushes-0.1.0.tar.xz`
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
import rushes_normalizer.application
import rushes_syncer.application
from rushes_normalizer.previews import SCHEMA
from rushes_runtime.database import Database
from rushes_runtime.migration_history import newest_revision
from rushes_runtime.migrations import migrate
from rushes_runtime.store import LocalStore
from rushes_schemas import Priority, RenormalizeRequested

from tests.movies import make_clip
from tests.world import World, eventually

pytestmark = pytest.mark.extended

RELEASED = Path(__file__).parent / "released"
SERVICES = ("rushes-normalizer", "rushes-syncer")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of the services as they were released last."""
    (archive,) = RELEASED.glob("rushes-*.tar.xz")
    folder = tmp_path_factory.mktemp("released")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return os.pathsep.join(str(each) for each in sorted(folder.glob("**/src")))


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second."""
    path = tmp_path_factory.mktemp("movies") / "movie.mp4"
    make_clip(path, "320x180", rate=24, seconds=0.5)
    return path


async def _upload(world: World, count: int, movie: Path) -> list[UUID]:
    return [event.preview_file_id for event in await world.upload_all(count, movie)]


async def _ready(database: Database, ids: Sequence[UUID], version: int = 2) -> None:
    statement = "SELECT id FROM preview_file WHERE status = 'ready' AND version >= :version AND id = ANY(:ids)"
    await eventually(
        lambda: database.fetch(statement, version=version, ids=list(ids)), lambda rows: len(rows) == len(ids)
    )


async def _migrated(database: Database, schema: str) -> str:
    (row,) = await database.fetch(f'SELECT version_num FROM "{schema}".alembic_version')
    return str(row.version_num)


@pytest.mark.apache_kafka
async def test_the_last_release_works_beside_this_version_on_its_schema(
    bare_world: World, released: str, movie: Path
) -> None:
    world = bare_world
    old = world.with_settings(PYTHONPATH=released)
    database = Database(world.environment["DATABASE_URL"], SCHEMA)
    try:
        for service in SERVICES:
            code, _, errors = await old.command(service, "migrate", "--store")
            assert code == 0, errors
        was = await _migrated(database, "normalizer"), await _migrated(database, "syncer")
        before = [old.process(service, "run", log=f"old-{service}") for service in SERVICES]
        first = await _upload(world, 2, movie)
        await eventually(lambda: database.fetch("SELECT 1 FROM preview_file"))
        for service in SERVICES:  # while they work
            code, _, errors = await world.command(service, "migrate")
            assert code == 0, errors
        now = await _migrated(database, "normalizer"), await _migrated(database, "syncer")
        assert now == (
            newest_revision(rushes_normalizer.application.MIGRATIONS, "normalizer"),
            newest_revision(rushes_syncer.application.MIGRATIONS, "syncer"),
        )
        assert now >= was
        await _ready(database, first)  # by the old ones, on the new schema
        for service in SERVICES:
            world.process(service, "run", log=f"new-{service}")
        second = await _upload(world, 4, movie)
        again = [
            RenormalizeRequested(preview_file_id=each, reason="test", requested_by="test", priority=Priority.BULK)
            for each in first
        ]
        await world.send(*again)
        await _ready(database, second)
        await _ready(database, first, version=3)
        for leash in before:
            os.kill(leash.pid, signal.SIGTERM)
        assert [await asyncio.to_thread(leash.wait) for leash in before] == [0, 0]
        third = await _upload(world, 1, movie)
        await _ready(database, third)
        site = LocalStore(world.folder / "lyon")
        for each in (*first, *second, *third):
            versions = [status.version for status in await world.statuses(each)]
            assert versions == list(range(1, len(versions) + 1))
            await eventually(partial(site.stat, "movies", f"lowdef-{each}"))
    finally:
        world.stop_processes()
        await database.close()


def _newer(folder: Path, *, breaks_older: bool) -> Path:
    """The normalizer's migrations and one from the future."""
    newer = folder / "migrations"
    shutil.copytree(rushes_normalizer.application.MIGRATIONS, newer)
    newest = newest_revision(newer, SCHEMA)
    (newer / "versions" / "9999_future.py").write_text(
        f"""
from alembic import op

revision, down_revision, breaks_older = "9999", "{newest}", {breaks_older}


def upgrade() -> None:
    op.execute("ALTER TABLE preview_file ADD COLUMN future text")
"""
    )
    return newer


async def _migrate_with(world: World, migrations: Path) -> None:
    database = Database.of(world.normalizer_settings(), SCHEMA)
    try:
        await migrate(database, migrations, world.environment["INSTANCE"])
    finally:
        await database.close()


async def test_a_version_works_on_the_schema_of_a_newer_one_that_only_adds(
    world: World, tmp_path: Path, movie: Path
) -> None:
    await world.prepare()
    await _migrate_with(world, _newer(tmp_path, breaks_older=False))
    for command in (["migrate"], ["migrate", "--wait"]):  # as `helm rollback` runs them
        code, _, errors = await world.command("rushes-normalizer", *command)
        assert code == 0, errors
    database = Database.of(world.normalizer_settings(), SCHEMA)
    try:
        assert await _migrated(database, SCHEMA) == "9999"
        world.process("rushes-normalizer", "run")
        await _ready(database, await _upload(world, 1, movie))
    finally:
        world.stop_processes()
        await database.close()


async def test_a_version_refuses_the_schema_of_a_newer_one_that_breaks_it(world: World, tmp_path: Path) -> None:
    await world.prepare()
    await _migrate_with(world, _newer(tmp_path, breaks_older=True))
    for command in (["migrate"], ["migrate", "--wait"], ["run"]):
        code, _, errors = await world.command("rushes-normalizer", *command)
        assert (code, "at revision 9999, for which this version is too old" in errors) == (2, True), errors
        assert "Traceback" not in errors
