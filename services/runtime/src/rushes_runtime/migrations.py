"""Database migrations with Alembic: one history per service, safe when many processes migrate at once."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from alembic import command, context
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_runtime.database import Database, is_away
from rushes_runtime.failures import InstanceMismatchError, SchemaTooNewError
from rushes_runtime.waiting import wait_or_stop

_LOOK_AGAIN: Final = 2.0  # seconds


class SchemaNotReadyError(Exception):
    """The database's schema is older than the one that this version needs, or not there."""


def _config(scripts: Path, schema: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["schema"] = schema
    return config


async def migrate(database: Database, scripts: Path, instance: str) -> tuple[str | None, str]:
    """Bring a service's schema to the newest revision, and bind it to an instance.

    Processes that call this at once wait for one another.

    Returns:
        The revision before and the revision now.

    Raises:
        InstanceMismatchError: the schema belongs to another instance; nothing was changed.
        SchemaTooNewError: a newer version has migrated it; nothing was changed.
    """
    # The lock's number is the schema's own, so that two services migrate side by side.
    lock = zlib.crc32(f"rushes-migrate-{database.schema}".encode())
    async with database.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
        await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{database.schema}"'))
        before = await connection.run_sync(lambda sync: current_revision(sync, database.schema))
        if before is not None:
            _check_known(scripts, database.schema, before)
            await _check_instance(connection, database.schema, instance)
        config = _config(scripts, database.schema)

        def upgrade(sync: Connection) -> None:
            config.attributes["connection"] = sync
            command.upgrade(config, "head")

        await connection.run_sync(upgrade)
        await connection.execute(
            text("INSERT INTO instance (name) VALUES (:name) ON CONFLICT DO NOTHING"), {"name": instance}
        )
    return before, newest_revision(scripts, database.schema)


def current_revision(connection: Connection, schema: str) -> str | None:
    """The revision that a schema is at; None before the first migration."""
    return MigrationContext.configure(connection, opts={"version_table_schema": schema}).get_current_revision()


def newest_revision(scripts: Path, schema: str) -> str:
    """The newest revision of a service's history."""
    head = ScriptDirectory.from_config(_config(scripts, schema)).get_current_head()
    assert head, f"no migrations in {scripts}"
    return head


async def check_schema(database: Database, scripts: Path, instance: str) -> None:
    """Check that the schema is at the newest revision and belongs to the instance.

    Raises:
        SchemaNotReadyError: not migrated, or at an older revision.
        SchemaTooNewError: a newer version has migrated it.
        InstanceMismatchError: of another instance.
    """
    async with database.begin() as connection:
        current = await connection.run_sync(lambda sync: current_revision(sync, database.schema))
    newest = newest_revision(scripts, database.schema)
    if current != newest:
        if current is not None:
            _check_known(scripts, database.schema, current)
        msg = f"database schema {database.schema} is at revision {current}, this version needs {newest}: run migrate"
        raise SchemaNotReadyError(msg)
    async with database.begin() as connection:
        await _check_instance(connection, database.schema, instance)


async def await_schema(
    database: Database, scripts: Path, instance: str, *, stop: asyncio.Event, waits: Callable[[str], None]
) -> bool:
    """Wait until another process has brought the schema to this version; False if `stop` came first.

    Args:
        waits: called before each wait, with its reason.

    Raises:
        SchemaTooNewError: a newer version has migrated it.
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


def _check_known(scripts: Path, schema: str, revision: str) -> None:
    history = ScriptDirectory.from_config(_config(scripts, schema))
    if revision not in {each.revision for each in history.walk_revisions()}:
        msg = f"database schema {schema} is at revision {revision}, which this version does not know: it is too old"
        raise SchemaTooNewError(msg)


async def _check_instance(connection: AsyncConnection, schema: str, instance: str) -> None:
    names = list((await connection.execute(text("SELECT name FROM instance"))).scalars())
    if names and names != [instance]:
        msg = (
            f"database schema {schema} belongs to the instance {names[0]!r}, "
            f"but INSTANCE is {instance!r}: check DATABASE_URL and INSTANCE"
        )
        raise InstanceMismatchError(msg)


def run_environment() -> None:
    """What each service's `env.py` calls: run the migrations on the connection that `migrate` gave."""
    schema = context.config.attributes["schema"]
    context.configure(
        connection=context.config.attributes["connection"],
        version_table_schema=schema,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()
