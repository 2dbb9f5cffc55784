"""Verification: how a site differs from the main store, and, on demand, that put right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from rushes_syncer import passes
from rushes_syncer.comparing import Finding
from rushes_syncer.deep import BytesRead
from rushes_syncer.full import PassWatch, note_drift
from rushes_syncer.passes import Pass, Total
from rushes_syncer.putting_right import Effort, copy_differences
from rushes_syncer.removing import remove_extra
from rushes_syncer.survey import Scope, Sides, survey
from rushes_syncer.synced import tell_of_pass


@dataclass(frozen=True)
class VerifyOptions:
    """What is verified and how.

    Attributes:
        deep: read the bytes of both sides.
        repair: copy what is missing or different.
        remove_extra: with `repair`: remove what is extra, too.
    """

    scope: Scope
    effort: Effort
    deep: bool = False
    repair: bool = False
    remove_extra: bool = False


@dataclass(frozen=True)
class ProjectDrift:
    """Objects of a project that differ; None is of previews whose project is not known."""

    project_id: UUID | None
    missing: int = 0
    different: int = 0
    extra: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class VerifyReport:
    """What a verification found, in objects.

    Attributes:
        kept: only the site has them, and the rules let them stay.
        waiting: differ, and a worker is about to copy them.
        objects: the first of those that differ, by name.
        left: still differ after a repair, or without one.
        failures: what could not be read, copied or removed, and why.
    """

    site: str
    looked_at: int
    same: int
    skipped: int
    kept: int
    waiting: int
    missing: int
    different: int
    extra: int
    projects: list[ProjectDrift]
    objects: list[dict[str, Any]]
    copied: int = 0
    removed: int = 0
    left: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def drifted(self) -> bool:
        """Whether anything differed."""
        return bool(self.missing or self.different or self.extra)


async def verify(sides: Sides, name: str, options: VerifyOptions, *, watch: PassWatch) -> VerifyReport:
    """Compare a site with the main store, object by object.

    Raises:
        StoreError: a side is not whole, or cannot be listed.
    """
    database, scope = sides.database, options.scope
    going = await passes.begin(database, name, "verify", scope.fingerprint(), goes_on=False)
    deep = BytesRead(sides, name, options.effort.workers) if options.deep else None
    counts = await survey(sides, going, scope, watch, deep=deep)
    await passes.compared(database, going.id, counts)
    found: Counter[Finding] = Counter()
    totals = await passes.totals(database, going.id)
    for total in totals:
        found[total.finding] += total.objects
    projects = await _projects(sides, going)
    objects = [
        {
            "bucket": row.bucket,
            "key": row.key,
            "drift": row.finding,
            "project_id": row.project_id,
            "bytes": row.bytes,
        }
        for row in await passes.named(database, going.id, {"open"})
    ]
    if options.repair:
        await _repair(sides, going, options, totals, watch)
        totals = await passes.totals(database, going.id)
    await passes.end(database, going.id)
    ends: Counter[str] = Counter()
    for total in totals:
        ends[total.state] += total.objects
    if scope.is_whole:
        removed = sum(total.objects for total in totals if total.state == "removed")
        await note_drift(database, name, found[Finding.EXTRA] - removed, totals)
    failures = [
        *(deep.failures if deep else []),
        *await passes.failures(database, going.id, {"failed", "refused"}),
    ]
    return VerifyReport(
        name,
        looked_at=counts.looked_at,
        same=counts.held,
        skipped=counts.skipped,
        kept=counts.kept,
        waiting=counts.waiting,
        missing=found[Finding.MISSING],
        different=found[Finding.DIFFERENT],
        extra=found[Finding.EXTRA],
        projects=projects,
        objects=objects,
        copied=ends["copied"],
        removed=ends["removed"],
        left=sum(ends.values()) - ends["copied"] - ends["removed"] - ends["absent"],
        failures=failures,
    )


async def _repair(sides: Sides, going: Pass, options: VerifyOptions, totals: Sequence[Total], watch: PassWatch) -> None:
    open_ = [total for total in totals if total.finding is not Finding.EXTRA]
    watch.found(sum(total.objects for total in open_), sum(total.bytes for total in open_))
    await copy_differences(sides, going, options.effort, watch)
    await tell_of_pass(sides, going)
    if options.remove_extra:
        await remove_extra(sides, going, options.scope.rules)


async def _projects(sides: Sides, going: Pass) -> list[ProjectDrift]:
    found: dict[UUID | None, ProjectDrift] = {}
    for row in await passes.by_project(sides.database, going.id):
        before = asdict(found.get(row.project_id, ProjectDrift(row.project_id)))
        before[row.finding] += row.objects
        before["bytes"] += row.bytes
        found[row.project_id] = ProjectDrift(**before)
    return list(found.values())
