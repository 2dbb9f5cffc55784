"""Every failure code says what follows from it, and has a sentence for each reader."""

from __future__ import annotations

import pytest
from rushes_schemas import FAILURES, FailureCode, PreviewStatus, is_transient, status_after

TRANSIENT = {
    FailureCode.STORAGE_UNAVAILABLE,
    FailureCode.STORAGE_DENIED,
    FailureCode.OUT_OF_DISK,
    FailureCode.WORKER_LOST,
    FailureCode.SOURCE_CHANGED,
    FailureCode.INTERNAL,
}


@pytest.mark.parametrize("code", FailureCode)
def test_only_a_missing_source_makes_a_preview_missing(code: FailureCode) -> None:
    expected = PreviewStatus.MISSING if code is FailureCode.SOURCE_MISSING else PreviewStatus.BROKEN
    assert status_after(code) is expected


@pytest.mark.parametrize("code", FailureCode)
def test_what_may_pass_is_tried_again(code: FailureCode) -> None:
    assert is_transient(code) is (code in TRANSIENT)


@pytest.mark.parametrize("code", FailureCode)
def test_every_code_has_one_sentence_for_each_reader(code: FailureCode) -> None:
    facts = FAILURES[code]
    for sentence in (facts.for_artist, facts.for_operator):
        assert sentence.endswith(".")
        assert len(sentence) > 20
    assert facts.for_artist != facts.for_operator
