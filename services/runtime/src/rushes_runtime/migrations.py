"""Database migrations with Alembic: one history per service, safe when many processes migrate at once."""

from __future__ import annotations

import zlib
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from rushes_runtime.database import Database
from rushes_runtime.failures import InstanceMismatchError


class SchemaNotReadyError(Exception):
    """The database's schema is not the one that this version needs."""


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
    """
    # The lock's number is the schema's own, so that two services migrate side by side.
    lock = zlib.crc32(f"rushes-migrate-{database.schema}".encode())
    async with database.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
        await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{database.schema}"'))
        before = await connection.run_sync(lambda sync: current_revision(sync, database.schema))
        if before is not None:
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
        SchemaNotReadyError: not migrated, or at another revision.
        InstanceMismatchError: of another instance.
    """
    async with database.begin() as connection:
        current = await connection.run_sync(lambda sync: current_revision(sync, database.schema))
    newest = newest_revision(scripts, database.schema)
    if current != newest:
        msg = f"database schema {database.schema} is at revision {current}, this version needs {newest}: run migrate"
        raise SchemaNotReadyError(msg)
    async with database.begin() as connection:
        await _check_instance(connection, database.schema, instance)


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
