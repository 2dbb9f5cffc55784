"""`verify`: whether the sites hold what they should, and nothing else."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rushes_runtime.commands import errors, fail, print_json, run_guarded, settings_or_exit

from rushes_syncer.commands import options as given
from rushes_syncer.commands.side_by_side import PassBar, over_sites
from rushes_syncer.passes import NAMED
from rushes_syncer.putting_right import Effort
from rushes_syncer.settings import SyncerSettings
from rushes_syncer.survey import Scope, Sides
from rushes_syncer.verify import VerifyOptions, VerifyReport, verify

out = Console()
_SHOWN: Final = 20  # objects that are named without --json


def verify_sites(
    site: given.Sites = None,
    project: given.Project = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read the bytes of both sides and compare their SHA-256.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Copy what is missing or different.")] = False,
    remove_extra: Annotated[
        bool, typer.Option("--remove-extra", help="With --repair: remove what only the site has, too.")
    ] = False,
    skip_broken: given.SkipBroken = None,
    skip_missing: given.SkipMissing = None,
    number_workers: given.Workers = 30,
    number_attempts: given.Attempts = 3,
    bandwidth: given.Bandwidth = None,
    as_json: given.AsJson = False,
) -> None:
    """Compare each site with the main store. Exit 1 on drift that is there at the end.

    Without --deep listings are compared with each other, and with the etags and sizes that the ledger wrote down after
    each verified copy. What a worker is about to copy is no drift. With --remove-extra nothing goes that the main store
    has, that a preview's record names, or whose absence a store that is not whole would show.
    """
    if remove_extra and not repair:
        fail("--remove-extra goes with --repair", 2)
    settings = settings_or_exit(SyncerSettings)
    names = sorted(given.chosen_sites(settings, site))
    bandwidths = given.given_bandwidth(settings, bandwidth, names)

    async def one(name: str, sides: Sides, bar: PassBar) -> VerifyReport:
        scope = Scope(given.given_rules(settings, name, skip_broken, skip_missing), project, leave_work=True)
        effort = Effort("biggest", number_workers, number_attempts, bandwidths[name])
        options = VerifyOptions(scope, effort, deep, repair, remove_extra)
        return await verify(sides, name, options, watch=bar)

    async def main() -> int:
        reports, stopped = await over_sites(settings, names, None, one)
        for name, why in stopped.items():
            errors.print(f"{name}: {why}", markup=False)
        if as_json:
            sites = [{**asdict(report), "drift": report.drifted} for report in reports]
            print_json({"sites": sites, "stopped": stopped})
        else:
            for report in reports:
                _show(report)
        return 1 if stopped or any(report.left or report.failures for report in reports) else 0

    run_guarded(main)


def _show(report: VerifyReport) -> None:
    beside = ", ".join(
        f"{count} {word}"
        for word, count in (
            ("skipped by the settings", report.skipped),
            ("kept though the main store has them no more", report.kept),
            ("about to be copied", report.waiting),
        )
        if count
    )
    out.print(f"{report.site}: {report.same} of {report.looked_at} objects are the same{beside and f'; {beside}'}")
    if not report.drifted:
        out.print(f"{report.site}: no drift")
    else:
        table = Table("project", "missing", "different", "extra", "bytes", title=f"drift of {report.site}")
        for drift in report.projects:
            numbers = (drift.missing, drift.different, drift.extra, drift.bytes)
            table.add_row(str(drift.project_id or "not known"), *(str(each) for each in numbers))
        out.print(table)
        for each in report.objects[:_SHOWN]:
            out.print(f"  {each['drift']} {each['bucket']}/{each['key']}", markup=False, soft_wrap=True)
        if (more := report.missing + report.different + report.extra - _SHOWN) > 0:
            out.print(f"  and {more} more; --json names the first {NAMED}")
    if report.copied or report.removed:
        out.print(f"{report.site}: copied {report.copied}, removed {report.removed}, left {report.left}")
    for failure in report.failures:
        out.print(f"  {failure}", markup=False, soft_wrap=True)
