"""A service's migration history as Alembic reads it.

Alembic takes 28 MB and a third of a second, so only those import this who look into a history.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def _config(scripts: Path, schema: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["schema"] = schema
    return config


def _history(scripts: Path, schema: str) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(scripts, schema))


def upgrade(connection: Connection, scripts: Path, schema: str) -> None:
    """Run what is new of a history on a connection."""
    config = _config(scripts, schema)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def current_revision(connection: Connection, schema: str) -> str | None:
    """The revision that a schema is at; None before the first migration."""
    return MigrationContext.configure(connection, opts={"version_table_schema": schema}).get_current_revision()


def newest_revision(scripts: Path, schema: str) -> str:
    """The newest revision of a service's history."""
    head = _history(scripts, schema).get_current_head()
    assert head, f"no migrations in {scripts}"
    return head


def oldest_that_runs(scripts: Path, schema: str) -> str:
    """The revision of the oldest version that runs on a schema at the newest one.

    A migration adds; versions from before it go on. One that does not says `breaks_older = True`.
    """
    history = list(_history(scripts, schema).walk_revisions())  # newest first
    for script in history:
        if getattr(script.module, "breaks_older", False):
            return script.revision
    return history[-1].revision


def known(scripts: Path, schema: str) -> set[str]:
    """The revisions of a history."""
    return {each.revision for each in _history(scripts, schema).walk_revisions()}


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
