"""Two listings become pairs of one key each, and a pair a finding."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rushes_runtime.store import ObjectStat, StoreUnavailableError
from rushes_syncer import comparing
from rushes_syncer.comparing import Finding, Pair, find, pairs
from rushes_syncer.deciding import Decision, PreviewFacts
from rushes_syncer.sites import Held

WHEN = datetime(2026, 11, 1, tzinfo=UTC)
READY, DELETED, MISSING = PreviewFacts("ready"), PreviewFacts("ready", deleted=True), PreviewFacts("missing")
KEYS = st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=3), max_size=30)


def _stat(key: str, size: int = 1, etag: str = "e") -> ObjectStat:
    return ObjectStat(key, size, etag, WHEN)


async def _listing(keys: Iterable[str]) -> AsyncIterator[ObjectStat]:
    for key in keys:
        yield _stat(key)


def _in_order(keys: Iterable[str]) -> list[str]:
    """As a store lists them: by their bytes."""
    return sorted(keys, key=lambda key: key.encode())


@given(there=KEYS, here=KEYS, chunk=st.integers(1, 5))
async def test_each_key_comes_once_in_order_with_what_either_side_has(
    there: set[str], here: set[str], chunk: int
) -> None:
    whole, comparing.CHUNK = comparing.CHUNK, chunk  # type: ignore[misc]  # its ends are where mistakes would be
    try:
        found = [pair async for some in pairs(_listing(_in_order(there)), _listing(_in_order(here))) for pair in some]
    finally:
        comparing.CHUNK = whole  # type: ignore[misc]
    assert [pair.key for pair in found] == _in_order(there | here)
    assert {pair.key for pair in found if pair.there} == there
    assert {pair.key for pair in found if pair.here} == here


async def test_a_listing_that_is_not_in_order_is_refused() -> None:
    with pytest.raises(StoreUnavailableError, match="key order"):
        [pair async for pair in pairs(_listing("ab"), _listing("acb"))]


def _held(sha256: str = "s", etag: str = "e", source_etag: str = "e") -> Held:
    return Held("movies", "k", UUID(int=0), 1, sha256, etag, source_etag)


@pytest.mark.parametrize(
    ("there", "here", "verified", "origin", "finding"),
    [
        (_stat("k"), None, None, None, Finding.MISSING),
        (_stat("k"), None, _held(), None, Finding.MISSING),
        (_stat("k"), _stat("k", 2), None, None, Finding.DIFFERENT),
        (_stat("k"), _stat("k"), None, None, Finding.SAME),
        (_stat("k"), _stat("k", etag="x"), None, None, Finding.SAME),  # etags differ from store to store
        (_stat("k"), _stat("k"), _held(), None, Finding.SAME),
        (_stat("k"), _stat("k", etag="x"), _held(), None, Finding.DIFFERENT),
        (_stat("k", etag="x"), _stat("k"), _held(), None, Finding.DIFFERENT),
        (_stat("k", etag="x"), _stat("k"), _held(source_etag=""), None, Finding.SAME),  # copied from some other site
        (_stat("k"), _stat("k", etag="x"), _held(source_etag=""), None, Finding.DIFFERENT),
        (_stat("k"), _stat("k"), _held(), _held(), Finding.SAME),
        (_stat("k"), _stat("k"), _held(), _held(sha256="t"), Finding.DIFFERENT),
        (_stat("k"), _stat("k"), _held(), _held(etag="x"), Finding.DIFFERENT),
    ],
)
def test_a_wanted_object_is_the_same_if_its_size_and_the_ledgers_etags_are(
    there: ObjectStat, here: ObjectStat | None, verified: Held | None, origin: Held | None, finding: Finding
) -> None:
    assert find(Pair("k", there, here), READY, Decision.COPY, True, verified, origin) is finding


@pytest.mark.parametrize(
    ("preview", "decision", "finding"),
    [
        (READY, Decision.COPY, Finding.EXTRA),
        (PreviewFacts(None), Decision.COPY, Finding.EXTRA),
        (READY, Decision.LEFT_OUT, Finding.EXTRA),
        (DELETED, Decision.NOTHING, Finding.KEPT),
        (DELETED, Decision.PRUNE, Finding.EXTRA),
        (MISSING, Decision.COPY, Finding.KEPT),
        (MISSING, Decision.SKIP_MISSING, Finding.KEPT),
        (MISSING, Decision.PRUNE, Finding.EXTRA),
    ],
)
def test_what_only_the_site_has_is_extra_unless_the_rules_keep_it(
    preview: PreviewFacts, decision: Decision, finding: Finding
) -> None:
    assert find(Pair("k", None, _stat("k")), preview, decision, True, None, None) is finding


@pytest.mark.parametrize("here", [None, _stat("k", 2)])
def test_what_the_rules_leave_out_is_no_difference_and_what_they_prune_is_extra(here: ObjectStat | None) -> None:
    pair = Pair("k", _stat("k"), here)
    for decision in (Decision.LEFT_OUT, Decision.SKIP_BROKEN, Decision.NOTHING):
        assert find(pair, READY, decision, True, None, None) is Finding.SKIPPED
    assert find(pair, READY, Decision.COPY, False, None, None) is Finding.SKIPPED
    assert find(pair, MISSING, Decision.PRUNE, True, None, None) is (Finding.EXTRA if here else Finding.SKIPPED)
