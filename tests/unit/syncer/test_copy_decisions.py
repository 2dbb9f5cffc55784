"""What a site should hold of a preview."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest
from rushes_schemas import PLACES, ObjectKind, StoredFile
from rushes_syncer.deciding import Decision, PreviewFacts, SyncRules, decide, decide_record, wanted_files

PREVIEW_ID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
OURS, OTHER = uuid4(), uuid4()


def _stored(kind: ObjectKind) -> StoredFile:
    place = PLACES[kind]
    key = f"{place.prefix}-{PREVIEW_ID}"
    return StoredFile.model_validate({"kind": kind.value, "bucket": place.bucket, "key": key, "bytes": 9, "etag": "e"})


NO_FILES: list[StoredFile] = []
SOURCE_ONLY = [_stored(ObjectKind.SOURCE_MOVIE)]
OUTPUTS = [_stored(ObjectKind.SOURCE_MOVIE), _stored(ObjectKind.LOW_DEFINITION)]
STATUSES = ["processing", "ready", "broken", "missing", "archived"]
PROJECTS: list[UUID | None] = [None, OURS, OTHER]
AGES = [None, timedelta(hours=1), 2 * DAY]


def _expected(preview: PreviewFacts, files: list[StoredFile], rules: SyncRules) -> Decision:
    """The truth table, told by its rows: the first that fits counts."""
    age = NOW - preview.uploaded_at if preview.uploaded_at else None
    rows = [
        (preview.deleted and rules.prune, Decision.PRUNE),
        (preview.deleted, Decision.NOTHING),
        (preview.status == "missing" and rules.prune, Decision.PRUNE),
        (preview.status == "missing" and rules.skip_missing, Decision.SKIP_MISSING),
        (preview.status == "broken" and rules.skip_broken, Decision.SKIP_BROKEN),
        (bool(rules.projects) and preview.project_id != OURS, Decision.LEFT_OUT),
        (rules.max_age is not None and age is not None and age > DAY, Decision.LEFT_OUT),
        (files == NO_FILES, Decision.NOTHING),
        (files == SOURCE_ONLY and (not rules.sync_source_movies or rules.kinds is not None), Decision.NOTHING),
    ]
    return next((decision for fits, decision in rows if fits), Decision.COPY)


@pytest.mark.parametrize("files", [NO_FILES, SOURCE_ONLY, OUTPUTS], ids=["no files", "source only", "outputs"])
@pytest.mark.parametrize("status", STATUSES)
def test_the_truth_table(status: str, files: list[StoredFile]) -> None:
    one_project, one_kind = frozenset([OURS]), frozenset([ObjectKind.LOW_DEFINITION])
    for broken, missing, sources, prune, projects, kinds, age in product(
        [False, True], [False, True], [False, True], [False, True], [None, one_project], [None, one_kind], [None, DAY]
    ):
        rules = SyncRules(broken, missing, sources, prune, projects, kinds, age)
        for deleted, project, uploaded in product([False, True], PROJECTS, AGES):
            preview = PreviewFacts(status, deleted, project, NOW - uploaded if uploaded else None)
            assert decide_record(preview, files, rules, NOW) is _expected(preview, files, rules), (rules, preview)


@pytest.mark.parametrize(
    ("status", "rules", "decision"),
    [
        ("broken", SyncRules(), Decision.COPY),
        ("missing", SyncRules(), Decision.COPY),
        ("broken", SyncRules(skip_broken=True), Decision.SKIP_BROKEN),
        ("missing", SyncRules(skip_broken=True), Decision.COPY),
        ("missing", SyncRules(skip_missing=True), Decision.SKIP_MISSING),
        ("broken", SyncRules(skip_missing=True), Decision.COPY),
        ("missing", SyncRules(prune=True), Decision.PRUNE),
        ("missing", SyncRules(prune=True, skip_missing=True), Decision.PRUNE),
        ("broken", SyncRules(prune=True), Decision.COPY),
        ("ready", SyncRules(skip_broken=True, skip_missing=True, prune=True), Decision.COPY),
        ("processing", SyncRules(skip_broken=True, skip_missing=True, prune=True), Decision.COPY),
        ("archived", SyncRules(skip_broken=True, skip_missing=True, prune=True), Decision.COPY),
    ],
)
def test_each_switch_has_a_say_in_its_own_status_only(status: str, rules: SyncRules, decision: Decision) -> None:
    assert decide_record(PreviewFacts(status), OUTPUTS, rules, NOW) is decision


def test_a_preview_without_a_record_is_copied_unless_only_some_projects_are() -> None:
    unknown = PreviewFacts(status=None)
    everything = SyncRules(skip_broken=True, skip_missing=True, prune=True, max_age=DAY)
    assert decide(unknown, everything, NOW) is Decision.COPY
    assert decide(unknown, replace(everything, projects=frozenset([OURS])), NOW) is Decision.LEFT_OUT


@pytest.mark.parametrize("kind", ObjectKind)
@pytest.mark.parametrize("sources", [True, False])
def test_only_source_movies_wait_for_their_switch(kind: ObjectKind, sources: bool) -> None:
    wanted = wanted_files([_stored(kind)], SyncRules(sync_source_movies=sources))
    assert wanted == ([_stored(kind)] if sources or kind is not ObjectKind.SOURCE_MOVIE else [])


def test_a_kind_of_a_later_version_is_wanted_where_all_kinds_are() -> None:
    waveform = _stored(ObjectKind.TILE).model_copy(update={"kind": "waveform"})
    assert wanted_files([waveform], SyncRules()) == [waveform]
    assert wanted_files([waveform], SyncRules(kinds=frozenset([ObjectKind.TILE]))) == []
