"""What a site should hold of a preview: one pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rushes_schemas import ObjectKind, PreviewStatus, StoredFile


class Decision(StrEnum):
    """What to do at a site about a preview's record."""

    COPY = "copy"
    SKIP_BROKEN = "skip_broken"
    SKIP_MISSING = "skip_missing"
    NOTHING = "nothing"  # no object is published yet, or the preview was deleted


@dataclass(frozen=True)
class SyncRules:
    """The settings that decide."""

    skip_broken: bool = False
    skip_missing: bool = False
    sync_source_movies: bool = False


def wanted_files(files: Sequence[StoredFile], rules: SyncRules) -> list[StoredFile]:
    """The objects of a record that a site should hold."""
    return [stored for stored in files if rules.sync_source_movies or stored.kind != ObjectKind.SOURCE_MOVIE]


def skips(internal_status: str, rules: SyncRules) -> Decision | None:
    """Whether the rules leave previews of a status out."""
    if internal_status == PreviewStatus.BROKEN and rules.skip_broken:
        return Decision.SKIP_BROKEN
    if internal_status == PreviewStatus.MISSING and rules.skip_missing:
        return Decision.SKIP_MISSING
    return None


def decide(internal_status: str, files: Sequence[StoredFile], deleted: bool, rules: SyncRules) -> Decision:
    """What to do about a record; a status that this version does not know is copied like `ready`.

    What a site holds stays there when a preview becomes broken or missing.
    """
    if skipped := skips(internal_status, rules):
        return skipped
    return Decision.NOTHING if deleted or not wanted_files(files, rules) else Decision.COPY
