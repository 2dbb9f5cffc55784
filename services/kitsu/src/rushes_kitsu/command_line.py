"""The command line of the bridge to Kitsu."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rushes_normalizer.media.tools import ToolsError
from rushes_normalizer.sandbox_check import SandboxError
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.commands import (
    WaitOnly,
    bring_schema_up,
    errors,
    fail,
    make_topics,
    open_database,
    print_json,
    run_async,
    run_guarded,
    settings_or_exit,
    waited_only,
)
from rushes_runtime.failures import StartRefusedError
from rushes_runtime.settings import UnreadableSecretError
from rushes_runtime.store import open_store
from rushes_runtime.waiting import wait_or_stop

from rushes_kitsu import application
from rushes_kitsu.dispatches import SCHEMA
from rushes_kitsu.imported import Holds
from rushes_kitsu.importing import UNSENT, Imported, count_previews, import_previews
from rushes_kitsu.settings import KitsuSettings
from rushes_kitsu.topics import TOPICS
from rushes_kitsu.zou_rows import name_of, open_zou

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
    except (StartRefusedError, UnreadableSecretError) as error:
        fail(str(error), 2)


@app.command()
def build() -> None:
    """Build the playlists and the missing tiles that Zou dispatches, until SIGTERM or SIGINT. Several may run.

    Limits and programs come from the settings of rushes-normalizer.
    """
    settings = settings_or_exit(KitsuSettings)
    media = settings_or_exit(NormalizerSettings)
    try:
        run_async(application.build(settings, media))
    except (StartRefusedError, ToolsError, SandboxError) as error:
        fail(str(error), 2)


@app.command()
def follow() -> None:
    """Set right what Zou says of movies that Rushes has made, until SIGTERM or SIGINT.

    Zou marks a movie `broken` by its own time-out, or when an RQ worker is killed, whatever becomes of it. Each movie
    is looked at until Zou agrees, and set right once: nothing that is decided in Zou later is undone.
    """
    settings = settings_or_exit(KitsuSettings)
    if not (settings.zou_url and (settings.zou_token or settings.zou_token_file)):
        fail("ZOU_URL and ZOU_TOKEN, or ZOU_TOKEN_FILE, are needed", 2)
    try:
        run_async(application.follow(settings))
    except (StartRefusedError, UnreadableSecretError) as error:
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
    if waited_only(wait, settings, SCHEMA, application.MIGRATIONS, topics=topics):
        return

    async def main() -> None:
        await bring_schema_up(settings, SCHEMA, application.MIGRATIONS, out)
        if topics:
            await make_topics(settings.kafka, TOPICS, partitions=partitions, replicas=replicas, out=out)

    run_guarded(main)


@app.command(name="import")
def import_(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count, and write nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until `rushes-kitsu serve` has sent all.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Tell Rushes of the previews of an existing Zou, whose database (ZOU_DATABASE_URL) is only read.

    --dry-run counts previews with a source, with outputs only (they could never be made again), and with nothing.
    What Zou still works on is left to it, and what Rushes knows is left as it is. A pass that was broken off goes on
    where it was. The normalizer takes the events in by `republish --after-restore`: see docs/kitsu.md.
    """
    settings = settings_or_exit(KitsuSettings)

    async def main() -> None:
        url = settings.read_zou_database_url()
        if url is None:
            fail("ZOU_DATABASE_URL is not set: postgresql+asyncpg://user:password@host:port/zoudb", 2)
        columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} previews"))
        async with AsyncExitStack() as resources:
            zou = await resources.enter_async_context(open_zou(url))
            store = await resources.enter_async_context(open_store(settings.store))
            database = await resources.enter_async_context(open_database(settings, SCHEMA))
            bar = resources.enter_context(Progress(*columns, console=errors, transient=True))
            line = bar.add_task("", total=None)

            def done(count: int) -> None:
                bar.advance(line, count)

            if dry_run:
                seen = await count_previews(zou, store, done)
            else:
                seen = await import_previews(
                    zou,
                    store,
                    database,
                    settings.kafka,
                    source=name_of(url),
                    expose_missing=settings.expose_missing,
                    done=done,
                )
            while wait and not dry_run and (await database.fetch(UNSENT))[0].events:
                await wait_or_stop(asyncio.Event(), settings.poll_interval)
        _show(seen, dry_run=dry_run, sent=wait, as_json=as_json)

    run_guarded(main)


def _show(seen: Imported, *, dry_run: bool, sent: bool, as_json: bool) -> None:
    if as_json:
        counts = {each.name.lower(): seen.holds[each] for each in Holds}
        written = {} if dry_run else {"known": seen.known, "written": seen.written}
        print_json({"dry_run": dry_run, "previews": seen.seen, **counts, "in_work": seen.in_work, **written})
        return
    if seen.resumed_after:
        out.print(f"went on behind preview {seen.resumed_after}, where the last pass was broken off")
    out.print(f"{seen.seen} previews: {', '.join(f'{seen.holds[each]} {each.value}' for each in Holds)}")
    if seen.in_work:
        out.print(f"{seen.in_work} are still in work at Zou, and left to it")
    if not dry_run:
        now = "were sent" if sent else "stand in the outbox"
        out.print(f"{seen.written} events {now}; Rushes knew {seen.known} already")
