"""The command line of the bridge to Kitsu."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rushes_runtime.commands import (
    WaitOnly,
    fail,
    open_database,
    run_async,
    run_guarded,
    settings_or_exit,
    wait_for_migration,
)
from rushes_runtime.failures import StartRefusedError
from rushes_runtime.kafka import KEPT_A_MONTH, create_topics
from rushes_runtime.migrations import migrate as migrate_database

from rushes_kitsu import application
from rushes_kitsu.dispatches import SCHEMA
from rushes_kitsu.settings import KitsuSettings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Lets a Kitsu server hand its movies to Rushes. Settings come from the environment: see docs/settings.md.",
)
out = Console()


@app.command()
def serve() -> None:
    """Answer as the remote worker of Zou until SIGTERM or SIGINT. Run two or more behind one address."""
    settings = settings_or_exit(KitsuSettings)
    try:
        run_async(application.serve(settings))
    except StartRefusedError as error:
        fail(str(error), 2)


@app.command()
def migrate(
    topics: Annotated[bool, typer.Option("--topics", help="Also create the Kafka topic that is not there.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="With --topics: partitions.")] = 12,
    replicas: Annotated[int, typer.Option(min=1, help="With --topics: replicas of each partition.")] = 3,
    wait: WaitOnly = False,
) -> None:
    """Bring the database schema to this version; many processes may call this at once."""
    settings = settings_or_exit(KitsuSettings)
    if wait:
        if topics:
            fail("--wait changes nothing: it goes without --topics", 2)
        wait_for_migration(settings, SCHEMA, application.MIGRATIONS)
        return

    async def main() -> None:
        async with open_database(settings, SCHEMA) as database:
            before, now = await migrate_database(database, application.MIGRATIONS, settings.instance)
        out.print(f"database schema {SCHEMA}: {before or 'new'} → {now}")
        if topics:
            wanted = {"kitsu.dead-letters": KEPT_A_MONTH}
            created = await create_topics(settings.kafka, wanted, partitions=partitions, replicas=replicas)
            out.print(f"topics created: {', '.join(created) or 'none, all are there'}")

    run_guarded(main)


def main() -> None:
    """The console script."""
    app()
