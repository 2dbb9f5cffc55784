"""A survey of a site: both listings, joined with the ledger, become counts and a table of differences.

The full pass and `verify` share it. Memory is that of a few chunks, however many objects there are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from rushes_runtime.database import Database
from rushes_runtime.store import Store, prove_whole
from rushes_runtime.together import together
from rushes_schemas.outputs import BUCKETS

from rushes_syncer import passes, sites
from rushes_syncer.comparing import Finding, Pair, find, pairs
from rushes_syncer.deciding import PreviewFacts, SyncRules, decide, takes_kind
from rushes_syncer.objects import PreviewObject, object_of
from rushes_syncer.passes import Counts, Difference, Pass
from rushes_syncer.sites import Held

_KNOWN: Final = """
    SELECT preview_file_id, status, deleted, project_id, uploaded_at FROM site_preview
    WHERE site = :site AND preview_file_id = ANY(:ids)"""
# By the indexes of what waits and of what runs, each by itself.
_IN_WORK: Final = """
    SELECT subject FROM task WHERE subject = ANY(:subjects) AND state = 'queued'
    UNION ALL SELECT subject FROM task WHERE subject = ANY(:subjects) AND state = 'running'"""
UNKNOWN: Final = PreviewFacts(status=None)


@dataclass(frozen=True)
class Scope:
    """What a survey covers.

    Attributes:
        source_site: the site that is compared with; None: the main store.
        since: only what has changed at the source since then.
        force: what is the same counts as a difference, too.
        leave_work: what a worker will copy, or copies now, is no difference.
    """

    rules: SyncRules
    project_id: UUID | None = None
    source_site: str | None = None
    since: datetime | None = None
    force: bool = False
    leave_work: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it tells how far the site as a whole is from the main store."""
        return self.project_id is None and self.source_site is None and self.since is None

    def fingerprint(self) -> dict[str, Any]:
        """As JSON: surveys of equal ones find the same."""
        values = {name: _plain(value) for name, value in vars(self).items() if name != "rules"}
        return {**values, "rules": _plain(vars(self.rules))}


class SurveyWatch(Protocol):
    """Who watches a survey."""

    def looked(self, objects: int) -> None:
        """So many more keys were looked at."""


class DeepLook(Protocol):
    """Whoever reads bytes where listings and ledger alone do not convince."""

    async def differing(
        self, bucket: str, pairs: Sequence[tuple[Pair, PreviewObject]], held: Mapping[str, Held]
    ) -> set[str]:
        """The keys among pairs of equal size of which the bytes differ."""
        ...


@dataclass(frozen=True)
class Sides:
    """Where a survey looks."""

    database: Database
    source: Store
    site: Store
    instance: str


async def survey(
    sides: Sides, going: Pass, scope: Scope, watch: SurveyWatch, *, deep: DeepLook | None = None
) -> Counts:
    """Compare a site with its source; differences go into the pass's table.

    Raises:
        StoreError: a side is not whole, or cannot be listed.
        InstanceMismatchError: a side belongs to another instance.
    """
    now = datetime.now(UTC)
    surveys = await together(*(_survey_bucket(sides, going, scope, bucket, now, watch, deep) for bucket in BUCKETS))
    counted = sum(surveys, Counter[str]())
    return Counts(**{name: counted[name] for name in Counts.__dataclass_fields__})


async def _survey_bucket(
    sides: Sides, going: Pass, scope: Scope, bucket: str, now: datetime, watch: SurveyWatch, deep: DeepLook | None
) -> Counter[str]:
    """What a bucket counts."""
    counted: Counter[str] = Counter()
    await asyncio.gather(
        prove_whole(sides.source, bucket, sides.instance), prove_whole(sides.site, bucket, sides.instance)
    )
    async with (
        asyncio.TaskGroup() as looks,
        aclosing(pairs(sides.source.list(bucket), sides.site.list(bucket))) as chunks,
    ):
        look: asyncio.Task[Counter[str]] | None = None
        async for some in chunks:
            known = [(pair, named) for pair in some if (named := object_of(bucket, pair.key))]
            watch.looked(len(some))
            if not known:
                continue
            before, look = look, looks.create_task(_look(sides, going, scope, bucket, known, now, deep))
            if before:  # the database answers for one chunk while the next is compared
                counted += await before
        if look:
            counted += await look
    # Whoever hides a bucket in the middle of a listing hides its sentinel too.
    await prove_whole(sides.source, bucket, sides.instance)
    return counted


async def _look(
    sides: Sides,
    going: Pass,
    scope: Scope,
    bucket: str,
    some: Sequence[tuple[Pair, PreviewObject]],
    now: datetime,
    deep: DeepLook | None,
) -> Counter[str]:
    """Look at a chunk of pairs; what it counts."""
    database = sides.database
    keys = [pair.key for pair, _ in some]
    facts, held, origins = await asyncio.gather(
        facts_of(database, going.site, {named.preview_file_id for _, named in some}),
        sites.held_under(database, going.site, bucket, keys),
        sites.held_under(database, scope.source_site, bucket, keys),
    )
    counted: Counter[str] = Counter()
    found: list[tuple[Pair, PreviewObject, Finding]] = []
    for pair, named in some:
        preview = facts.get(named.preview_file_id, UNKNOWN)
        if not _covers(scope, pair, preview):
            counted["looked_at"] += pair.there is not None
            counted["skipped"] += pair.there is not None
            continue
        decision = decide(_dated(preview, pair), scope.rules, now)
        takes = takes_kind(named.kind, scope.rules)
        finding = find(pair, preview, decision, takes, held.get(pair.key), origins.get(pair.key))
        found.append((pair, named, finding))
    if deep:
        found = await _looked_into(deep, bucket, found, held)
    differences = []
    for pair, named, finding in found:
        counted["looked_at"] += pair.there is not None
        match finding:
            case Finding.SAME if not scope.force:
                counted["held"] += 1
            case Finding.SKIPPED:
                counted["skipped"] += 1
            case Finding.KEPT:
                counted["kept"] += 1
            case _:
                project_id = facts.get(named.preview_file_id, UNKNOWN).project_id
                differences.append(_difference(bucket, pair, named.preview_file_id, project_id, finding))
    if scope.leave_work and differences:
        in_work = await _in_work(database, going.site, differences)
        counted["waiting"] += sum(each.preview_file_id in in_work for each in differences)
        differences = [each for each in differences if each.preview_file_id not in in_work]
    counted["extra"] += sum(each.finding is Finding.EXTRA for each in differences)
    if differences:
        async with database.begin() as connection:
            await passes.note(connection, going.id, differences)
    return counted


def _covers(scope: Scope, pair: Pair, preview: PreviewFacts) -> bool:
    if scope.project_id and preview.project_id != scope.project_id:
        return False
    stat = pair.there or pair.here
    return scope.since is None or (stat is not None and stat.modified >= scope.since)


def _dated(preview: PreviewFacts, pair: Pair) -> PreviewFacts:
    """With a time of upload in any case: the object's own, where no record tells one."""
    stat = pair.there or pair.here
    if preview.uploaded_at or stat is None:
        return preview
    return PreviewFacts(preview.status, preview.deleted, preview.project_id, stat.modified)


async def _looked_into(
    deep: DeepLook,
    bucket: str,
    found: list[tuple[Pair, PreviewObject, Finding]],
    held: Mapping[str, Held],
) -> list[tuple[Pair, PreviewObject, Finding]]:
    """The findings once the bytes of all pairs of equal size were read."""
    equals = [
        (pair, named)
        for pair, named, finding in found
        if finding in {Finding.SAME, Finding.DIFFERENT}
        and pair.there
        and pair.here
        and pair.there.bytes == pair.here.bytes
    ]
    differing = await deep.differing(bucket, equals, held)
    read = {pair.key for pair, _ in equals}
    return [
        (pair, named, (Finding.DIFFERENT if pair.key in differing else Finding.SAME) if pair.key in read else finding)
        for pair, named, finding in found
    ]


def _difference(
    bucket: str, pair: Pair, preview_file_id: UUID, project_id: UUID | None, finding: Finding
) -> Difference:
    stat = pair.there or pair.here
    assert stat
    etag = pair.here.etag if pair.here else None
    source_etag = pair.there.etag if pair.there else None
    return Difference(
        bucket, pair.key, preview_file_id, project_id, finding, stat.bytes, stat.modified, etag, source_etag
    )


async def facts_of(database: Database, site: str, ids: set[UUID]) -> dict[UUID, PreviewFacts]:
    """What a site's ledger knows of previews, by id; those without a record are left out."""
    rows = await database.fetch(_KNOWN, site=site, ids=list(ids))
    return {row.preview_file_id: PreviewFacts(row.status, row.deleted, row.project_id, row.uploaded_at) for row in rows}


async def _in_work(database: Database, site: str, differences: Sequence[Difference]) -> set[UUID]:
    subjects = {sites.subject_of(site, each.preview_file_id) for each in differences}
    rows = await database.fetch(_IN_WORK, subjects=list(subjects))
    return {sites.parse_subject(row.subject)[1] for row in rows}


def _plain(value: Any) -> Any:
    """A value as JSON has it, the same for equal ones."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(str(each) for each in value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
