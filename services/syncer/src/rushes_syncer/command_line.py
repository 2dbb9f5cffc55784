"""The command line of the syncer."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
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

from rushes_syncer import application
from rushes_syncer.commands.forget import forget_site
from rushes_syncer.commands.full import full
from rushes_syncer.commands.options import Sites, chosen_sites
from rushes_syncer.commands.sites import reconcile_sites, sites
from rushes_syncer.commands.verify import verify_sites
from rushes_syncer.settings import SyncerSettings
from rushes_syncer.sites import SCHEMA
from rushes_syncer.topics import TOPICS

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Copies previews to a studio's other sites. Settings come from the environment: see docs/settings.md.",
)
out = Console()


@app.command()
def run(
    site: Sites = None,
    roles: Annotated[str, typer.Option(help="Which parts to run, by commas.")] = ",".join(ROLES),
) -> None:
    """Follow status changes and copy what each site lacks, until SIGTERM or SIGINT.

    A site that is new starts at the earliest record of `status-changed`, which holds the state of every preview.
    """
    chosen = roles_or_exit(roles)
    settings = settings_or_exit(SyncerSettings)
    try:
        run_async(application.run(settings, chosen, chosen_sites(settings, site)))
    except StartRefusedError as error:
        fail(str(error), 2)


@app.command()
def migrate(
    topics: Annotated[bool, typer.Option("--topics", help="Also create the Kafka topics that are not there.")] = False,
    store: Annotated[bool, typer.Option("--store", help="Also create the sites' buckets and sentinels.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="With --topics: partitions.")] = 12,
    replicas: Annotated[int, typer.Option(min=1, help="With --topics: replicas of each partition.")] = 3,
    wait: WaitOnly = False,
) -> None:
    """Bring the database schema to this version; many processes may call this at once."""
    settings = settings_or_exit(SyncerSettings)
    if waited_only(wait, settings, SCHEMA, application.MIGRATIONS, topics=topics, store=store):
        return

    async def main() -> None:
        await bring_schema_up(settings, SCHEMA, application.MIGRATIONS, out)
        if topics:
            await make_topics(settings.kafka, TOPICS, partitions=partitions, replicas=replicas, out=out)
        if store:
            for name, target in settings.sites.items():
                async with open_store(target) as opened:
                    await place_sentinels(opened, BUCKETS, settings.instance)
                out.print(f"site {name}: sentinels stand in {', '.join(BUCKETS)} of {opened.name}")

    run_guarded(main)


app.command()(full)
app.command("verify")(verify_sites)
app.command()(sites)
app.command("reconcile")(reconcile_sites)
app.command("forget")(forget_site)
