"""The command line of the syncer."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rushes_runtime.commands import (
    ROLES,
    WaitOnly,
    errors,
    fail,
    open_database,
    print_json,
    roles_or_exit,
    run_async,
    run_guarded,
    settings_or_exit,
    wait_for_migration,
)
from rushes_runtime.failures import StartRefusedError
from rushes_runtime.kafka import KEPT_A_MONTH, create_topics
from rushes_runtime.migrations import migrate as migrate_database
from rushes_runtime.service import process_name
from rushes_runtime.store import open_store, place_sentinels
from rushes_schemas.outputs import BUCKETS

from rushes_syncer import application
from rushes_syncer.full import PassOptions, PassReport, full_pass
from rushes_syncer.settings import SyncerSettings
from rushes_syncer.sites import SCHEMA

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Copies previews to a studio's other sites. Settings come from the environment: see docs/settings.md.",
)
out = Console()
Sites = Annotated[list[str] | None, typer.Option("--site", help="Only this site; may be given again. Default: all.")]


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
        run_async(application.run(settings, chosen, _sites(settings, site)))
    except StartRefusedError as error:
        fail(str(error), 2)


@app.command()
def migrate(
    topics: Annotated[bool, typer.Option("--topics", help="Also create the Kafka topic that is not there.")] = False,
    store: Annotated[bool, typer.Option("--store", help="Also create the sites' buckets and sentinels.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="With --topics: partitions.")] = 12,
    replicas: Annotated[int, typer.Option(min=1, help="With --topics: replicas of each partition.")] = 3,
    wait: WaitOnly = False,
) -> None:
    """Bring the database schema to this version; many processes may call this at once."""
    settings = settings_or_exit(SyncerSettings)
    if wait:
        if topics or store:
            fail("--wait changes nothing: it goes without --topics and --store", 2)
        wait_for_migration(settings, SCHEMA, application.MIGRATIONS)
        return

    async def main() -> None:
        async with open_database(settings, SCHEMA) as database:
            before, now = await migrate_database(database, application.MIGRATIONS, settings.instance)
        out.print(f"database schema {SCHEMA}: {before or 'new'} → {now}")
        if topics:
            created = await create_topics(
                settings.kafka, {"syncer.dead-letters": KEPT_A_MONTH}, partitions=partitions, replicas=replicas
            )
            out.print(f"topics created: {', '.join(created) or 'none, all are there'}")
        if store:
            for name, target in settings.sites.items():
                async with open_store(target) as opened:
                    await place_sentinels(opened, BUCKETS, settings.instance)
                out.print(f"site {name}: sentinels stand in {', '.join(BUCKETS)} of {opened.name}")

    run_guarded(main)


@app.command()
def full(
    site: Sites = None,
    project_id: Annotated[UUID | None, typer.Option(help="Only previews of this project.")] = None,
    skip_broken: Annotated[bool | None, typer.Option(help="Default: SKIP_BROKEN.")] = None,
    skip_missing: Annotated[bool | None, typer.Option(help="Default: SKIP_MISSING.")] = None,
    force_resync: Annotated[bool, typer.Option("--force-resync", help="Copy what is there already, too.")] = False,
    number_workers: Annotated[int, typer.Option(min=1, max=256, help="Copies at once.")] = 8,
    number_attempts: Annotated[int, typer.Option(min=1, max=20, help="Tries of each object.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be copied, and copy nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List both sides, compare, and copy only what differs. Exit 1 if an object could not be copied.

    Objects that the main store no longer has are counted, no error. Only previews: avatars and other files of a
    Kitsu server stay with its own command.
    """
    settings = settings_or_exit(SyncerSettings)
    rules = application.rules_of(settings)
    if skip_broken is not None or skip_missing is not None:
        rules = type(rules)(
            settings.skip_broken if skip_broken is None else skip_broken,
            settings.skip_missing if skip_missing is None else skip_missing,
            settings.sync_source_movies,
        )
    options = PassOptions(rules, project_id, force_resync, dry_run, number_workers, number_attempts)
    names = sorted(_sites(settings, site))
    scratch = settings.scratch / f"full-{process_name()}"

    async def main() -> int:
        reports: list[PassReport] = []
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        try:
            with Progress(*columns, TimeRemainingColumn(), console=errors, transient=True) as bar:
                async with open_database(settings, SCHEMA) as database, open_store(settings.store) as source:
                    for name in names:
                        async with open_store(settings.sites[name]) as target:
                            reports.append(
                                await full_pass(
                                    database,
                                    source,
                                    target,
                                    name,
                                    options,
                                    instance=settings.instance,
                                    scratch=scratch,
                                    watch=PassBar(bar, name),
                                )
                            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        _show(reports, as_json=as_json, dry_run=dry_run)
        return 1 if any(report.failures for report in reports) else 0

    run_guarded(main)


class PassBar:
    """A pass as a line of a progress display."""

    def __init__(self, bar: Progress, site: str) -> None:
        self._bar = bar
        self._site = site
        self._line = bar.add_task(f"{site}: listing", total=None)

    def found(self, objects: int, size: int) -> None:
        """Both sides are listed and compared."""
        self._bar.update(self._line, total=size, description=f"{self._site}: {objects} objects")

    def copied(self, size: int) -> None:
        """One more object is done."""
        self._bar.advance(self._line, size)


def _show(reports: list[PassReport], *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, "sites": [asdict(report) for report in reports]})
        return
    for report in reports:
        done = "would copy" if dry_run else "copied"
        out.print(
            f"{report.site}: looked at {report.looked_at}, {done} {report.copied} ({report.copied_bytes} bytes), "
            f"held {report.held}, skipped {report.skipped}, absent at the source {report.absent}, "
            f"failed {len(report.failures)}"
        )
        for failure in report.failures:
            out.print(f"  {failure}", markup=False)


def _sites(settings: SyncerSettings, chosen: list[str] | None) -> frozenset[str]:
    names = frozenset(chosen or settings.sites)
    if unknown := names - set(settings.sites):
        fail(f"--site {', '.join(sorted(unknown))}: SITES knows {', '.join(sorted(settings.sites))}", 2)
    return names


def main() -> None:
    """The console script."""
    app()
