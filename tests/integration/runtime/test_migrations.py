"""Migrations: safe when many call them, bound to one instance."""

from __future__ import annotations

import asyncio

import pytest
from rushes_normalizer.application import MIGRATIONS
from rushes_normalizer.previews import SCHEMA
from rushes_runtime.database import Database
from rushes_runtime.failures import InstanceMismatchError
from rushes_runtime.migrations import SchemaNotReadyError, check_schema, migrate, newest_revision
from sqlalchemy import make_url, text

from tests.world import World

pytestmark = pytest.mark.any_broker


async def test_ten_processes_that_migrate_at_once_all_succeed_and_one_does_it(world: World) -> None:
    settings = world.normalizer_settings()
    databases = [Database.of(settings, SCHEMA) for _ in range(10)]
    try:
        results = await asyncio.gather(*(migrate(each, MIGRATIONS, "studio") for each in databases))
    finally:
        for database in databases:
            await database.close()
    assert sorted(str(before) for before, _ in results) == [newest_revision(MIGRATIONS, SCHEMA)] * 9 + ["None"]


async def test_a_wrong_password_is_said_in_a_sentence(world: World) -> None:
    wrong = make_url(world.environment["DATABASE_URL"]).set(password="wrong").render_as_string(hide_password=False)
    code, _, errors = await world.command("rushes-normalizer", "migrate", DATABASE_URL=wrong)
    assert (code, "password authentication failed" in errors, "Traceback" in errors) == (1, True, False), errors


async def test_a_database_of_another_instance_is_refused(world: World) -> None:
    database = Database.of(world.normalizer_settings(), SCHEMA)
    try:
        with pytest.raises(SchemaNotReadyError, match="run migrate"):
            await check_schema(database, MIGRATIONS, "north")
        await migrate(database, MIGRATIONS, "north")
        await check_schema(database, MIGRATIONS, "north")
        with pytest.raises(InstanceMismatchError, match="belongs to the instance 'north'"):
            await migrate(database, MIGRATIONS, "south")
        with pytest.raises(InstanceMismatchError):
            await check_schema(database, MIGRATIONS, "south")
    finally:
        await database.close()


async def test_a_schema_that_a_newer_version_has_migrated_is_refused_and_left_as_it_is(world: World) -> None:
    async with world.normalizer_database() as database:
        async with database.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        for command in (["migrate"], ["migrate", "--wait"], ["run"]):
            code, _, errors = await world.command("rushes-normalizer", *command)
            assert (code, "revision 9999, which this version does not know" in errors) == (2, True), errors
            assert "Traceback" not in errors
        assert [row.version_num for row in await database.fetch("SELECT version_num FROM alembic_version")] == ["9999"]
