"""The command line of the normalizer."""

from __future__ import annotations

from typing import Annotated

import typer
from rushes_runtime.commands import (
    ROLES,
    WaitOnly,
    bring_schema_up,
    fail,
    make_topics,
    roles_or_exit,
    run_async,
    run_guarded,
    settings_or_exit,
    waited_only,
)
from rushes_runtime.failures import StartRefusedError
from rushes_runtime.store import open_store, place_sentinels
from rushes_schemas.outputs import BUCKETS

from rushes_normalizer.commands.absences import absences
from rushes_normalizer.commands.api import api, api_token
from rushes_normalizer.commands.attention import attention
from rushes_normalizer.commands.dead_letters import dead_letters
from rushes_normalizer.commands.history import history
from rushes_normalizer.commands.output import out
from rushes_normalizer.commands.publish import publish
from rushes_normalizer.commands.renormalize import renormalize
from rushes_normalizer.commands.republish import republish
from rushes_normalizer.media.tools import ToolsError
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.sandbox_check import SandboxError
from rushes_normalizer.settings import NormalizerSettings
from rushes_normalizer.topics import TOPICS

# `run` and `migrate` import the service where they need it: with it each command takes half as long again to start.
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Turns uploads into what a review player needs. Settings come from the environment: see docs/settings.md.",
)


@app.command()
def run(
    roles: Annotated[
        str, typer.Option(help="Which parts to run, by commas: intake and relay talk to Kafka, worker encodes.")
    ] = ",".join(ROLES),
) -> None:
    """Run the service until SIGTERM or SIGINT.

    In production run small control processes (`--roles intake,relay,janitor`, two or more) and pools of workers
    (`--roles worker`, from zero to many). A worker that is told to stop lets its jobs end within DRAIN_BUDGET.
    """
    from rushes_normalizer import application  # noqa: PLC0415

    chosen = roles_or_exit(roles)
    settings = settings_or_exit(NormalizerSettings)
    try:
        run_async(application.run(settings, chosen))
    except (ToolsError, SandboxError, StartRefusedError) as error:
        fail(str(error), 2)


@app.command()
def migrate(
    topics: Annotated[bool, typer.Option("--topics", help="Also create the Kafka topics that are not there.")] = False,
    store: Annotated[bool, typer.Option("--store", help="Also create buckets and their sentinel objects.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="With --topics: partitions of each topic.")] = 12,
    replicas: Annotated[int, typer.Option(min=1, help="With --topics: replicas of each partition.")] = 3,
    wait: WaitOnly = False,
) -> None:
    """Bring the database schema to this version; many processes may call this at once.

    A sentinel object shows workers that a bucket is really there: without it, nothing is ever called missing.
    """
    from rushes_normalizer.application import MIGRATIONS  # noqa: PLC0415

    settings = settings_or_exit(NormalizerSettings)
    if waited_only(wait, settings, SCHEMA, MIGRATIONS, topics=topics, store=store):
        return

    async def main() -> None:
        await bring_schema_up(settings, SCHEMA, MIGRATIONS, out)
        if topics:
            await make_topics(settings.kafka, TOPICS, partitions=partitions, replicas=replicas, out=out)
        if store:
            async with open_store(settings.store) as opened:
                await place_sentinels(opened, BUCKETS, settings.instance)
            out.print(f"sentinels stand in {', '.join(BUCKETS)} of {opened.name}")

    run_guarded(main)


app.command()(absences)
app.command()(api)
app.command()(api_token)
app.command()(attention)
app.command()(history)
app.command()(renormalize)
app.command()(publish)
app.command()(republish)
app.add_typer(dead_letters, name="dead-letters")
