"""Whoever comes back with a marker misses nothing, or is told so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rushes_normalizer.api.history import Change, ChangeHistory, Marker

PARTITIONS = 3


def _played(limit: int, order: list[int], begin: dict[int, int]) -> tuple[ChangeHistory, list[Change]]:
    """A history through which changes of these partitions came, each offset two after the one before."""
    history = ChangeHistory(limit)
    history.begin(begin)
    changes = []
    for partition in order:
        offset = history.positions[partition] + 1  # as after compaction
        message = str(history.marker_after(partition, offset)).encode()
        changes.append(Change(partition, offset, None, message))
        history.add(changes[-1])
    return history, changes


def _sent(history: ChangeHistory, marker: Marker) -> list[Change]:
    found = history.since(history.first, 10_000)
    assert found is not None
    return [change for change in found if change.offset >= marker.of(change.partition)]


@given(
    order=st.lists(st.integers(0, PARTITIONS - 1), max_size=30),
    limit=st.integers(1, 20),
    seen=st.integers(0, 30),
)
def test_a_client_that_comes_back_gets_all_that_it_has_not_seen_or_is_told(
    order: list[int], limit: int, seen: int
) -> None:
    history, changes = _played(limit, order, dict.fromkeys(range(PARTITIONS), 0))
    seen = min(seen, len(changes))
    shown = changes[seen - 1].message.decode() if seen else "0.0.0"
    marker = Marker.parse(shown)
    assert marker
    assert history.reached(marker)
    if history.holds_since(marker):
        assert _sent(history, marker) == changes[seen:]
    else:
        assert len(changes) > limit, "nothing is forgotten before there is too much"
        assert seen < len(changes), "who has seen all misses nothing"


@given(
    lanes=st.lists(st.integers(0, PARTITIONS - 1), max_size=20),
    shuffled=st.randoms(use_true_random=False),
    seen=st.integers(0, 20),
)
def test_another_process_goes_on_though_it_read_the_partitions_in_another_order(
    lanes: list[int], shuffled: object, seen: int
) -> None:
    begin = dict.fromkeys(range(PARTITIONS), 0)
    _, here = _played(100, lanes, begin)
    elsewhere = list(lanes)
    shuffled.shuffle(elsewhere)  # type: ignore[attr-defined]  # hypothesis types it loosely
    there, changes = _played(100, elsewhere, begin)
    seen = min(seen, len(here))
    marker = Marker.parse(here[seen - 1].message.decode() if seen else "0.0.0")
    assert marker
    had = {(change.partition, change.offset) for change in here[:seen]}
    got = {(change.partition, change.offset) for change in _sent(there, marker)}
    assert had | got == {(change.partition, change.offset) for change in changes}
    assert not had & got


def test_a_process_that_is_behind_another_knows_it() -> None:
    history, _ = _played(10, [0, 1], {0: 0, 1: 0})
    ahead = Marker([2, 4])
    assert not history.reached(ahead)
    history.add(Change(1, 3, None, b""))
    assert history.reached(ahead)


def test_a_history_that_began_later_does_not_hold_what_was_before() -> None:
    history, _ = _played(10, [0], {0: 50, 1: 7})
    assert not history.holds_since(Marker([49, 7]))
    assert history.holds_since(Marker([50, 7]))


def test_a_partition_that_was_added_is_new_to_an_old_client() -> None:
    history, _ = _played(10, [0, 0], {0: 0, 1: 0})
    history.begin({2: 0})
    old = Marker([4, 0])
    history.add(Change(2, 0, None, b"new"))
    assert history.holds_since(old)
    assert [change.message for change in _sent(history, old)] == [b"new"]


def test_a_topic_that_was_made_anew_makes_clients_read_the_lists() -> None:
    history, _ = _played(10, [0, 0], {0: 100})
    held = history.marker()
    history.forget({0: 0})
    assert history.since(0, 10) is None, "a stream that was behind ends"
    assert not history.reached(held)


def test_what_is_no_marker_is_known() -> None:
    for strange in ("", "x", "1.", ".1", "1..2", "-1", "1e9", "9" * 30, "\N{ARABIC-INDIC DIGIT THREE}"):
        assert Marker.parse(strange) is None, strange
    assert str(Marker.parse("12.0.7")) == "12.0.7"
