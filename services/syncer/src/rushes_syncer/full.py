"""A full pass: compare both sides, and copy only what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rushes_runtime.database import Database

from rushes_syncer import passes, site_states
from rushes_syncer.abandoned import tidy
from rushes_syncer.comparing import Finding
from rushes_syncer.passes import Counts, Pass, Total
from rushes_syncer.putting_right import COPIED, CopyWatch, Effort, copy_differences
from rushes_syncer.survey import Scope, Sides, SurveyWatch, survey
from rushes_syncer.synced import tell_of_pass


@dataclass(frozen=True)
class PassOptions:
    """What a pass covers, and how hard it tries."""

    scope: Scope
    effort: Effort
    dry_run: bool = False


@dataclass(frozen=True)
class PassReport:
    """What a pass came to: counts of objects, and the first of the failures by name.

    Attributes:
        absent: gone from the source between the look and the copy.
        extra: the site has them, the source does not; they stay.
        resumed: the pass had been cut off before.
    """

    site: str
    resumed: bool = False
    looked_at: int = 0
    held: int = 0
    skipped: int = 0
    extra: int = 0
    copied: int = 0
    copied_bytes: int = 0
    absent: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)


class PassWatch(SurveyWatch, CopyWatch, Protocol):
    """Who watches a pass."""

    def found(self, objects: int, size: int) -> None:
        """Both sides are compared: so many objects of so many bytes are to be copied."""


async def full_pass(sides: Sides, name: str, options: PassOptions, *, watch: PassWatch) -> PassReport:
    """Make a site hold what its source holds. A pass that was cut off while it copied is gone on with.

    Previews that the ledger does not know are copied: their status is nobody's business but Zou's.

    Raises:
        StoreError: a side is not whole, or cannot be listed.
    """
    database, scope = sides.database, options.scope
    kind: passes.Kind = "dry-run" if options.dry_run else "full"
    going = await passes.begin(database, name, kind, scope.fingerprint(), goes_on=not options.dry_run)
    counts = going.counts
    if not options.dry_run:
        await tidy(name, sides.site)
    if counts is None:
        counts = await survey(sides, going, scope, watch)
        await passes.compared(database, going.id, counts)
    left = _sums(await passes.totals(database, going.id), {"open"})
    watch.found(*left)
    if options.dry_run:
        await passes.end(database, going.id)
        return _report(going, counts, [], copied=left)
    await copy_differences(sides, going, options.effort, watch, source_site=scope.source_site)
    await tell_of_pass(sides, going)
    totals = await passes.totals(database, going.id)
    await passes.end(database, going.id)
    if scope.is_whole:
        await note_drift(database, name, counts.extra, totals)
    return _report(going, counts, totals, failures=await passes.failures(database, going.id, {"failed"}))


async def note_drift(database: Database, name: str, extra: int, totals: Sequence[Total]) -> None:
    """Write down for the metrics what still differs after a pass over a whole site."""
    left: Counter[Finding] = Counter()
    for total in totals:
        if total.state in {"open", "failed"}:
            left[total.finding] += total.objects
    async with database.begin() as connection:
        await site_states.passed(
            connection, name, missing=left[Finding.MISSING], different=left[Finding.DIFFERENT], extra=extra
        )


def _sums(totals: Sequence[Total], states: set[str]) -> tuple[int, int]:
    chosen = [each for each in totals if each.state in states and each.finding in COPIED]
    return sum(each.objects for each in chosen), sum(each.bytes for each in chosen)


def _report(
    going: Pass,
    counts: Counts,
    totals: Sequence[Total],
    *,
    copied: tuple[int, int] | None = None,
    failures: Sequence[str] = (),
) -> PassReport:
    objects, size = copied or _sums(totals, {"copied"})
    return PassReport(
        going.site,
        resumed=going.resumed,
        looked_at=counts.looked_at,
        held=counts.held,
        skipped=counts.skipped,
        extra=counts.extra,
        copied=objects,
        copied_bytes=size,
        absent=_sums(totals, {"absent"})[0],
        failed=_sums(totals, {"failed"})[0],
        failures=list(failures),
    )
