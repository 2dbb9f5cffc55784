"""Lease, fence, conditional write and outbox: every state that can be reached is safe, and needs each of them."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from tests.model.protocol import (
    Rules,
    all_is_settled,
    each_version_has_its_event,
    explore,
    fenced_worker_changes_no_row,
    one_live_owner,
    output_is_the_rows,
)

CAUGHT_BY = {
    "lease_checked": one_live_owner,
    "fence_checked": fenced_worker_changes_no_row,
    "outbox_in_transaction": each_version_has_its_event,
    "offsets_committed_last": all_is_settled,
    "write_conditional": output_is_the_rows,
    "looks_before_confirming": output_is_the_rows,
    "marks_what_it_sent": each_version_has_its_event,
}


def test_no_state_that_can_be_reached_breaks_a_promise() -> None:
    explored = explore(Rules())
    assert explored.broken is None, f"{explored.broken}: {' / '.join(explored.trace)}"
    assert explored.states > 150_000


def test_each_mechanism_has_its_mutant() -> None:
    assert set(CAUGHT_BY) == {rule.name for rule in fields(Rules)}


@pytest.mark.parametrize("rule", CAUGHT_BY)
def test_without_a_mechanism_its_promise_is_broken(rule: str) -> None:
    explored = explore(replace(Rules(), **{rule: False}))
    assert explored.broken == CAUGHT_BY[rule].__name__, explored.trace
