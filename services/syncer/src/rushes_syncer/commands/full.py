"""`full`: make the sites hold what the main store holds."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rushes_runtime.commands import errors, print_json, run_guarded, settings_or_exit

from rushes_syncer.commands import options as given
from rushes_syncer.commands.side_by_side import PassBar, over_sites
from rushes_syncer.full import PassOptions, PassReport, full_pass
from rushes_syncer.putting_right import Effort
from rushes_syncer.settings import SyncerSettings
from rushes_syncer.survey import Scope, Sides

out = Console()


class Order(StrEnum):
    """What is copied first."""

    BIGGEST = "biggest"
    NEWEST = "newest"


def full(
    site: given.Sites = None,
    project: given.Project = None,
    project_id: given.ProjectId = None,
    source: given.Source = None,
    skip_broken: given.SkipBroken = None,
    skip_missing: given.SkipMissing = None,
    force_resync: Annotated[bool, typer.Option("--force-resync", help="Copy what is there already, too.")] = False,
    since: given.Since = None,
    order: Annotated[Order, typer.Option(help="What is copied first.")] = Order.BIGGEST,
    number_workers: given.Workers = 30,
    number_attempts: given.Attempts = 3,
    bandwidth: given.Bandwidth = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be copied, and copy nothing.")] = False,
    as_json: given.AsJson = False,
) -> None:
    """List both sides, compare, and copy only what differs. Exit 1 if an object could not be copied.

    A pass that was killed while it copied goes on where it was when it is called again with the same options. Objects
    that the source no longer has are counted, no error. Only previews: avatars and other files of a Kitsu server stay
    with its own command.
    """
    settings = settings_or_exit(SyncerSettings)
    chosen = given.chosen_sites(settings, site)
    given.chosen_source(settings, source, chosen)
    names = sorted(chosen - {source})
    bandwidths = given.given_bandwidth(settings, bandwidth, names)
    from_when = given.given_since(since)

    async def one(name: str, sides: Sides, bar: PassBar) -> PassReport:
        rules = given.given_rules(settings, name, skip_broken, skip_missing)
        scope = Scope(rules, project or project_id, source, from_when, force_resync)
        effort = Effort(order.value, number_workers, number_attempts, bandwidths[name])
        return await full_pass(sides, name, PassOptions(scope, effort, dry_run), watch=bar)

    async def main() -> int:
        reports, stopped = await over_sites(settings, names, source, one)
        _show(reports, stopped, as_json=as_json, dry_run=dry_run)
        return 1 if stopped or any(report.failed for report in reports) else 0

    run_guarded(main)


def _show(reports: list[PassReport], stopped: dict[str, str], *, as_json: bool, dry_run: bool) -> None:
    for name, why in stopped.items():
        errors.print(f"{name}: {why}", markup=False)
    if as_json:
        print_json({"dry_run": dry_run, "sites": [asdict(report) for report in reports], "stopped": stopped})
        return
    for report in reports:
        done = "would copy" if dry_run else "copied"
        resumed = " (gone on with a pass that was cut off)" if report.resumed else ""
        out.print(
            f"{report.site}: looked at {report.looked_at}, {done} {report.copied} ({report.copied_bytes} bytes), "
            f"held {report.held}, skipped {report.skipped}, absent at the source {report.absent}, "
            f"failed {report.failed}{resumed}"
        )
        for failure in report.failures:
            out.print(f"  {failure}", markup=False)
        if report.failed > len(report.failures):
            out.print(f"  and {report.failed - len(report.failures)} more")
