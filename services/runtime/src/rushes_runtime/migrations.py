"""Database migrations with Alembic: one history per service, safe when many processes migrate at once."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_runtime.database import Database, is_away
from rushes_runtime.failures import InstanceMismatchError, SchemaTooNewError
from rushes_runtime.waiting import wait_or_stop

log = structlog.get_logger(__name__)

_LOOK_AGAIN: Final = 2.0  # seconds


class SchemaNotReadyError(Exception):
    """The database's schema is older than the one that this version needs, or not there."""


async def migrate(database: Database, scripts: Path, instance: str) -> tuple[str | None, str]:
    """Bring a service's schema to the newest revision, and bind it to an instance.

    Processes that call this at once wait for one another. A schema that a newer version has migrated stays as it is.

    Returns:
        The revision before and the revision now.

    Raises:
        InstanceMismatchError: the schema belongs to another instance; nothing was changed.
        SchemaTooNewError: a newer version has migrated it, and this one does not run on it; nothing was changed.
    """
    from rushes_runtime import migration_history as history  # noqa: PLC0415 - as it says

    # The lock's number is the schema's own, so that two services migrate side by side.
    lock = zlib.crc32(f"rushes-migrate-{database.schema}".encode())
    async with database.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
        # Whoever finds the schema made needs no right to make one.
        there = await connection.execute(text("SELECT to_regnamespace(:schema)"), {"schema": database.schema})
        if there.scalar_one() is None:
            await connection.execute(text(f'CREATE SCHEMA "{database.schema}"'))
        before = await connection.run_sync(history.current_revision, database.schema)
        if before is not None:
            await _check_instance(connection, database.schema, instance)
            if before not in history.known(scripts, database.schema):
                await _check_runs(connection, scripts, database.schema, before)
                return before, before
        await connection.run_sync(history.upgrade, scripts, database.schema)
        await connection.execute(
            text("INSERT INTO instance (name) VALUES (:name) ON CONFLICT DO NOTHING"), {"name": instance}
        )
        oldest = history.oldest_that_runs(scripts, database.schema)
        await connection.execute(text("UPDATE instance SET oldest_that_runs = :oldest"), {"oldest": oldest})
    return before, history.newest_revision(scripts, database.schema)


async def check_schema(database: Database, scripts: Path, instance: str) -> None:
    """Check that this version runs on the schema, and that it belongs to the instance.

    Raises:
        SchemaNotReadyError: not migrated, or at an older revision.
        SchemaTooNewError: a newer version has migrated it, and this one does not run on it.
        InstanceMismatchError: of another instance.
    """
    from rushes_runtime import migration_history as history  # noqa: PLC0415 - as it says

    async with database.begin() as connection:
        current = await connection.run_sync(history.current_revision, database.schema)
    newest = history.newest_revision(scripts, database.schema)
    if current is None or (current != newest and current in history.known(scripts, database.schema)):
        msg = f"database schema {database.schema} is at revision {current}, this version needs {newest}: run migrate"
        raise SchemaNotReadyError(msg)
    async with database.begin() as connection:
        if current != newest:
            await _check_runs(connection, scripts, database.schema, current)
            log.warning("schema_is_newer", schema=database.schema, revision=current, known=newest)
        await _check_instance(connection, database.schema, instance)


async def await_schema(
    database: Database, scripts: Path, instance: str, *, stop: asyncio.Event, waits: Callable[[str], None]
) -> bool:
    """Wait until another process has brought the schema to this version; False if `stop` came first.

    Args:
        waits: called before each wait, with its reason.

    Raises:
        SchemaTooNewError: a newer version has migrated it, and this one does not run on it.
        InstanceMismatchError: the schema belongs to another instance.
    """
    while not stop.is_set():
        try:
            await check_schema(database, scripts, instance)
        except Exception as error:
            if not (isinstance(error, SchemaNotReadyError) or is_away(error)):
                raise
            waits(str(error))
            await wait_or_stop(stop, _LOOK_AGAIN)
        else:
            return True
    return False


async def _check_runs(connection: AsyncConnection, scripts: Path, schema: str, revision: str) -> None:
    """Check that a schema which a newer version has migrated says that this version goes on to run."""
    from rushes_runtime import migration_history as history  # noqa: PLC0415 - as it says

    oldest = (await connection.execute(text("SELECT oldest_that_runs FROM instance"))).scalar_one_or_none()
    if oldest not in history.known(scripts, schema):
        msg = f"database schema {schema} is at revision {revision}, for which this version is too old"
        raise SchemaTooNewError(msg)


async def _check_instance(connection: AsyncConnection, schema: str, instance: str) -> None:
    names = list((await connection.execute(text("SELECT name FROM instance"))).scalars())
    if names and names != [instance]:
        msg = (
            f"database schema {schema} belongs to the instance {names[0]!r}, "
            f"but INSTANCE is {instance!r}: check DATABASE_URL and INSTANCE"
        )
        raise InstanceMismatchError(msg)
