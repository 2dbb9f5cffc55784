"""Databases of tests: migrated once for each server, and copied for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

import asyncpg
from rushes_embedded.postgres import Postgres
from rushes_kitsu import application as kitsu
from rushes_kitsu.dispatches import SCHEMA as KITSU_SCHEMA
from rushes_normalizer import application as normalizer
from rushes_normalizer.previews import SCHEMA as NORMALIZER_SCHEMA
from rushes_runtime.database import Database
from rushes_runtime.migrations import migrate
from rushes_syncer import application as syncer
from rushes_syncer.sites import SCHEMA as SYNCER_SCHEMA

MIGRATIONS: Final = {
    NORMALIZER_SCHEMA: normalizer.MIGRATIONS,
    SYNCER_SCHEMA: syncer.MIGRATIONS,
    KITSU_SCHEMA: kitsu.MIGRATIONS,
}
_TEMPLATE: Final = "migrated"


def create_migrated_database(postgres: Postgres, name: str, instance: str) -> str:
    """Create a database with the schemas of all services at their newest revision; return its address."""
    url = postgres.create_database(name, template=_template(postgres))
    _run(_bind(url, instance))
    return url


@cache
def _template(postgres: Postgres) -> str:
    """Return the name of the database that the others of a server are copied from."""
    url = postgres.create_database(_TEMPLATE)
    _run(migrate_all(url, _TEMPLATE))
    return _TEMPLATE


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in a thread of its own, for the caller may be in an event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()


async def migrate_all(url: str, instance: str) -> None:
    """Bring the schemas of all services in a database to their newest revision."""
    for schema, scripts in MIGRATIONS.items():
        database = Database(url, schema)
        try:
            await migrate(database, scripts, instance)
        finally:
            await database.close()


async def _bind(url: str, instance: str) -> None:
    """Make the schemas of a copy belong to an instance."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        for schema in MIGRATIONS:
            await connection.execute(f"UPDATE {schema}.instance SET name = $1", instance)
    finally:
        await connection.close()
