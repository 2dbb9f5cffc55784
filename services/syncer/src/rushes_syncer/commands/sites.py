"""`sites`: how far each site is. `reconcile`: what the topic has no more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rushes_runtime.commands import errors, open_database, print_json, run_guarded, settings_or_exit
from rushes_runtime.database import Database

from rushes_syncer.commands import options as given
from rushes_syncer.reconciling import reconcile
from rushes_syncer.settings import SyncerSettings
from rushes_syncer.site_states import SiteProgress, all_progress
from rushes_syncer.sites import SCHEMA

out = Console()


def sites(
    site: given.Sites = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show bars until each site is bootstrapped and nothing waits.")
    ] = False,
    as_json: given.AsJson = False,
) -> None:
    """How far each site is: previews and bytes that it holds, what waits, and what the last pass over it left."""
    settings = settings_or_exit(SyncerSettings)
    names = given.chosen_sites(settings, site)

    async def main() -> None:
        async with open_database(settings, SCHEMA) as database:
            if follow:
                await _follow(database, names)
            found = await _progress(database, names)
        if as_json:
            print_json({"sites": [asdict(each) for each in found]})
        else:
            _show(found, names)

    run_guarded(main)


def reconcile_sites(
    site: given.Sites = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    force: Annotated[bool, typer.Option("--force", help="However many previews the topic has no more.")] = False,
) -> None:
    """Read `status-changed` to its end; what it has no more was deleted. With PRUNE it goes from the site.

    A site that was away for longer than tombstones live does this by itself.
    """
    settings = settings_or_exit(SyncerSettings)
    names = sorted(given.chosen_sites(settings, site))

    async def main() -> None:
        async with open_database(settings, SCHEMA) as database:
            for name in names:
                rules = settings.rules_of(name)
                done = await reconcile(database, settings.kafka, name, rules, dry_run=dry_run, force=force)
                marked = "would be" if dry_run else "are"
                out.print(f"{name}: {done.gone} of {done.live} previews {marked} marked as deleted")

    run_guarded(main)


async def _progress(database: Database, names: frozenset[str]) -> list[SiteProgress]:
    async with database.begin() as connection:
        return [each for each in await all_progress(connection) if each.site in names]


async def _follow(database: Database, names: frozenset[str]) -> None:
    lines: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=errors) as bar:
        while True:
            found = await _progress(database, names)
            for each in found:
                if each.site not in lines:
                    lines[each.site] = bar.add_task(each.site, left="")
                bar.update(
                    lines[each.site],
                    description=f"{each.site}: {each.previews} of {each.wanted_previews} previews",
                    total=each.wanted_bytes,
                    completed=each.bytes,
                    left=_left(each),
                )
            if len(found) == len(names) and all(each.bootstrapped_at and not each.waiting for each in found):
                return
            await asyncio.sleep(1)


def _left(each: SiteProgress) -> str:
    if not each.waiting or each.seconds_left is None:
        return ""
    minutes, seconds = divmod(round(each.seconds_left), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left"


def _show(found: Sequence[SiteProgress], names: frozenset[str]) -> None:
    table = Table("site", "bootstrapped", "previews", "bytes", "waiting", "failed", "left", "last pass", "drift")
    for each in found:
        drift = each.missing + each.different + each.extra
        table.add_row(
            each.site,
            _when(each.bootstrapped_at),
            f"{each.previews} of {each.wanted_previews}",
            f"{decimal(each.bytes)} of {decimal(each.wanted_bytes)}",
            str(each.waiting),
            str(each.failed),
            _left(each),
            _when(each.passed_at),
            str(drift) if each.passed_at else "",
        )
    for name in sorted(names - {each.site for each in found}):
        table.add_row(name, "not yet followed", *[""] * 7)
    out.print(table)


def _when(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "no"
