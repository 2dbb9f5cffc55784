"""Where a task stands in the queue when others of its share wait already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st
from rushes_runtime.fairness import Fairness
from rushes_runtime.ledger import NewTask

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEP, LONGEST = timedelta(seconds=30), timedelta(hours=1)
FAIRNESS = Fairness(STEP, LONGEST)
SECONDS = st.timedeltas(timedelta(0), timedelta(days=2))


def _tasks(share: str, many: int, at: datetime = NOW, lane: str = "upload") -> list[NewTask]:
    return [NewTask(f"{share}-{number}", lane, at, {}, share) for number in range(many)]


def _subjects(tasks: list[NewTask]) -> list[str]:
    return [task.subject for task in sorted(tasks, key=lambda task: task.rank)]


def test_a_share_with_nothing_in_the_queue_is_ranked_by_its_own_time() -> None:
    assert FAIRNESS.rank(NOW, None) == NOW


def test_a_share_whose_last_task_is_long_due_is_ranked_by_its_own_time() -> None:
    assert FAIRNESS.rank(NOW, NOW - timedelta(hours=5)) == NOW


def test_the_next_task_of_a_share_stands_a_step_behind_its_last() -> None:
    assert FAIRNESS.rank(NOW, NOW) == NOW + STEP


def test_a_share_alone_keeps_the_order_of_its_requests() -> None:
    ranks: list[datetime] = []
    for number in range(5):
        last = {("a", "upload"): ranks[-1]} if ranks else {}
        batch = _tasks("a", 1000, NOW + number * timedelta(milliseconds=50))
        ranks += [task.rank for task in FAIRNESS.spread(batch, last)]
    assert all(before < after for before, after in pairwise(ranks))


def test_one_task_of_another_share_comes_before_the_second_of_a_thousand() -> None:
    thousand = FAIRNESS.spread(_tasks("a", 1000), {})
    (one,) = FAIRNESS.spread(_tasks("b", 1, NOW + timedelta(seconds=10)), {("a", "upload"): thousand[-1].rank})
    assert _subjects([*thousand, one])[:3] == ["a-0", "b-0", "a-1"]


def test_two_shares_with_many_tasks_take_turns() -> None:
    first = FAIRNESS.spread(_tasks("a", 500), {})
    second = FAIRNESS.spread(_tasks("b", 500, NOW + timedelta(seconds=15)), {})
    heads = [subject[0] for subject in _subjects([*first, *second])[:300]]
    assert min(heads.count("a"), heads.count("b")) > 120


def test_lanes_and_shares_are_apart() -> None:
    bulk = _tasks("a", 2, lane="bulk")
    spread = FAIRNESS.spread([*_tasks("a", 1), *bulk, *_tasks("b", 1)], {})
    assert [task.rank - NOW for task in spread] == [timedelta(0), timedelta(0), STEP, timedelta(0)]


@given(own=SECONDS, last=SECONDS, step=SECONDS, longest=SECONDS)
@example(own=timedelta(0), last=timedelta(days=1), step=timedelta(days=1), longest=timedelta(seconds=3))
@example(own=timedelta(0), last=timedelta(days=1), step=timedelta.resolution, longest=timedelta.resolution)
def test_no_task_stands_before_its_own_time_or_later_than_the_longest_delay(
    own: timedelta, last: timedelta, step: timedelta, longest: timedelta
) -> None:
    rank = Fairness(step, longest).rank(NOW + own, NOW + last)
    assert NOW + own <= rank <= NOW + own + longest


@given(
    waits=st.lists(st.timedeltas(timedelta(0), timedelta(hours=2)), min_size=2, max_size=50),
    step=st.timedeltas(timedelta(seconds=1), timedelta(hours=3)),
    longest=SECONDS,
)
def test_whatever_the_pace_of_a_share_its_tasks_are_ranked_in_their_order(
    waits: list[timedelta], step: timedelta, longest: timedelta
) -> None:
    fairness, at, last = Fairness(step, longest), NOW, None
    ranks = []
    for wait in waits:
        at += wait
        last = fairness.rank(at, last)
        ranks.append(last)
    assert all(before <= after for before, after in pairwise(ranks))
