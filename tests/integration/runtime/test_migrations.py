"""Migrations: safe when many call them, bound to one instance."""

from __future__ import annotations

import asyncio

import pytest
from rushes_normalizer.application import MIGRATIONS
from rushes_normalizer.previews import SCHEMA
from rushes_runtime.database import Database
from rushes_runtime.failures import InstanceMismatchError
from rushes_runtime.migration_history import newest_revision
from rushes_runtime.migrations import SchemaNotReadyError, check_schema, migrate
from sqlalchemy import make_url

from tests.world import World


async def test_ten_processes_that_migrate_at_once_all_succeed_and_one_does_it(bare_world: World) -> None:
    settings = bare_world.normalizer_settings()
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


async def test_a_database_of_another_instance_is_refused(bare_world: World) -> None:
    database = Database.of(bare_world.normalizer_settings(), SCHEMA)
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
