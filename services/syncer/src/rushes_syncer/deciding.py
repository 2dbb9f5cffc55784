"""What a site should hold of a preview: one pure decision, for a record that comes and for an object that is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from rushes_schemas import ObjectKind, PreviewStatus, StoredFile


class Decision(StrEnum):
    """What to do at a site about a preview."""

    COPY = "copy"
    SKIP_BROKEN = "skip_broken"
    SKIP_MISSING = "skip_missing"
    LEFT_OUT = "left_out"  # the site takes neither such projects nor such old uploads
    PRUNE = "prune"  # nothing of it shall stay at the site
    NOTHING = "nothing"  # no object is published yet, or the preview was deleted; what the site holds stays


@dataclass(frozen=True)
class SyncRules:
    """The settings that decide; those from `projects` on are a site's own, and None is no limit.

    Attributes:
        prune: what is deleted or missing goes from the site.
        max_age: of an upload.
    """

    skip_broken: bool = False
    skip_missing: bool = False
    sync_source_movies: bool = False
    prune: bool = False
    projects: frozenset[UUID] | None = None
    kinds: frozenset[ObjectKind] | None = None
    max_age: timedelta | None = None


@dataclass(frozen=True)
class PreviewFacts:
    """What is known of a preview; `status` is the internal one.

    Attributes:
        status: None: no record of it was ever seen.
        uploaded_at: or what stands for it.
    """

    status: str | None
    deleted: bool = False
    project_id: UUID | None = None
    uploaded_at: datetime | None = None


def takes_kind(kind: str, rules: SyncRules) -> bool:
    """Whether a site takes such objects. A kind that this version does not know is taken if no kinds are named."""
    if kind == ObjectKind.SOURCE_MOVIE and not rules.sync_source_movies:
        return False
    return rules.kinds is None or kind in rules.kinds


def wanted_files(files: Sequence[StoredFile], rules: SyncRules) -> list[StoredFile]:
    """The objects of a record that a site should hold, if it should hold the preview."""
    return [stored for stored in files if takes_kind(stored.kind, rules)]


def decide(preview: PreviewFacts, rules: SyncRules, now: datetime) -> Decision:
    """What to do about a preview whose objects stand in the main store.

    A status that this version does not know is copied like `ready`, and so is a preview without a record.
    """
    is_missing = preview.status == PreviewStatus.MISSING
    decision = Decision.COPY
    if rules.prune and (preview.deleted or is_missing):
        decision = Decision.PRUNE
    elif preview.deleted:
        decision = Decision.NOTHING
    elif rules.skip_missing and is_missing:
        decision = Decision.SKIP_MISSING
    elif rules.skip_broken and preview.status == PreviewStatus.BROKEN:
        decision = Decision.SKIP_BROKEN
    elif _is_left_out(preview, rules, now):
        decision = Decision.LEFT_OUT
    return decision


def _is_left_out(preview: PreviewFacts, rules: SyncRules, now: datetime) -> bool:
    if rules.projects is not None and preview.project_id not in rules.projects:
        return True
    too_old = rules.max_age is not None and now - rules.max_age
    return bool(too_old and preview.uploaded_at and preview.uploaded_at < too_old)


def decide_record(preview: PreviewFacts, files: Sequence[StoredFile], rules: SyncRules, now: datetime) -> Decision:
    """What to do about a record: nothing, if there is nothing to copy."""
    decision = decide(preview, rules, now)
    return Decision.NOTHING if decision is Decision.COPY and not wanted_files(files, rules) else decision
