"""`forget`: a site that was removed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rushes_runtime.commands import fail, open_database, print_json, run_guarded, settings_or_exit

from rushes_syncer.commands import options as given
from rushes_syncer.forgetting import Known, forget
from rushes_syncer.settings import AnySitesSettings
from rushes_syncer.sites import SCHEMA

out = Console()


def forget_site(
    site: Annotated[str, typer.Argument(metavar="NAME", help="The site, as SITES named it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be forgotten.")] = False,
    as_json: given.AsJson = False,
) -> None:
    """Forget a site that is no more in SITES: its ledger, its jobs, its passes and its place in the topic.

    What the site's store holds stays there. A site that is given this name later is a new one. Refused while SITES
    names it (code 2) and while any process works for it (code 1).
    """
    settings = settings_or_exit(AnySitesSettings)
    if site in settings.sites:
        fail(f"{site} is in SITES: take it out of the settings of every process first, and stop its syncer", 2)

    async def main() -> None:
        async with open_database(settings, SCHEMA) as database:
            known = await forget(database, settings.kafka, settings.instance, site, dry_run=dry_run)
        if as_json:
            print_json({"dry_run": dry_run, **asdict(known)})
        else:
            _show(known, dry_run=dry_run)

    run_guarded(main)


def _show(known: Known, *, dry_run: bool) -> None:
    if not known:
        out.print(f"{known.site}: nothing is known of it", markup=False)
        return
    out.print(
        f"{known.site}: {'would forget' if dry_run else 'forgot'} {known.previews} previews, {known.objects} objects"
        f" ({decimal(known.bytes)}), {known.jobs} jobs and {known.passes} passes; its store keeps what it holds",
        markup=False,
        soft_wrap=True,
    )
