"""What a site should hold of a preview."""

from __future__ import annotations

from itertools import product

import pytest
from rushes_schemas import PLACES, ObjectKind, StoredFile
from rushes_syncer.deciding import Decision, SyncRules, decide, wanted_files

PREVIEW_ID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"


def _stored(kind: ObjectKind) -> StoredFile:
    place = PLACES[kind]
    key = f"{place.prefix}-{PREVIEW_ID}"
    return StoredFile.model_validate({"kind": kind.value, "bucket": place.bucket, "key": key, "bytes": 9, "etag": "e"})


NO_FILES: list[StoredFile] = []
SOURCE_ONLY = [_stored(ObjectKind.SOURCE_MOVIE)]
OUTPUTS = [_stored(ObjectKind.SOURCE_MOVIE), _stored(ObjectKind.LOW_DEFINITION)]
STATUSES = ["processing", "ready", "broken", "missing", "archived"]


def _expected(status: str, files: list[StoredFile], deleted: bool, rules: SyncRules) -> Decision:
    """The truth table, told by its rows."""
    if (status, rules.skip_broken) == ("broken", True):
        return Decision.SKIP_BROKEN
    if (status, rules.skip_missing) == ("missing", True):
        return Decision.SKIP_MISSING
    if deleted or files == NO_FILES or (files == SOURCE_ONLY and not rules.sync_source_movies):
        return Decision.NOTHING
    return Decision.COPY


@pytest.mark.parametrize("files", [NO_FILES, SOURCE_ONLY, OUTPUTS], ids=["no files", "source only", "outputs"])
@pytest.mark.parametrize("status", STATUSES)
def test_the_truth_table(status: str, files: list[StoredFile]) -> None:
    for skip_broken, skip_missing, sources, deleted in product([False, True], repeat=4):
        rules = SyncRules(skip_broken, skip_missing, sources)
        assert decide(status, files, deleted, rules) is _expected(status, files, deleted, rules), (rules, deleted)


@pytest.mark.parametrize(
    ("status", "rules", "decision"),
    [
        ("broken", SyncRules(), Decision.COPY),
        ("missing", SyncRules(), Decision.COPY),
        ("broken", SyncRules(skip_broken=True), Decision.SKIP_BROKEN),
        ("missing", SyncRules(skip_broken=True), Decision.COPY),
        ("missing", SyncRules(skip_missing=True), Decision.SKIP_MISSING),
        ("broken", SyncRules(skip_missing=True), Decision.COPY),
        ("ready", SyncRules(skip_broken=True, skip_missing=True), Decision.COPY),
        ("processing", SyncRules(skip_broken=True, skip_missing=True), Decision.COPY),
        ("archived", SyncRules(skip_broken=True, skip_missing=True), Decision.COPY),
    ],
)
def test_each_switch_leaves_out_its_own_status_only(status: str, rules: SyncRules, decision: Decision) -> None:
    assert decide(status, OUTPUTS, False, rules) is decision


@pytest.mark.parametrize("kind", ObjectKind)
@pytest.mark.parametrize("sources", [True, False])
def test_only_source_movies_wait_for_their_switch(kind: ObjectKind, sources: bool) -> None:
    wanted = wanted_files([_stored(kind)], SyncRules(sync_source_movies=sources))
    assert wanted == ([_stored(kind)] if sources or kind is not ObjectKind.SOURCE_MOVIE else [])


def test_a_kind_of_a_later_version_is_wanted() -> None:
    waveform = _stored(ObjectKind.TILE).model_copy(update={"kind": "waveform"})
    assert wanted_files([waveform], SyncRules()) == [waveform]
