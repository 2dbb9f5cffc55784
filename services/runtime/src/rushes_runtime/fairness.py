"""Fairness among shares: where a task stands in the queue when others of its share wait already.

The rank that is given here is the only order there is. Tasks of a share stand a step apart, so a task of another share
comes between them. The further behind its own time a task would stand, the shorter its step: it never gets further than
`longest`, so nothing waits for ever, and a million tasks of a share still keep their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rushes_runtime.ledger import NewTask, ShareInLane


@dataclass(frozen=True)
class Fairness:
    """How shares take turns.

    Attributes:
        step: how far a task is ranked behind the last one of its share; at best what a task takes, divided by the
            slots there are.
        longest: how far a task may be ranked behind its own time. Only what is requested later than that is sure to
            come behind it.
    """

    step: timedelta
    longest: timedelta

    def rank(self, own: datetime, last: datetime | None) -> datetime:
        """The rank of one task.

        Args:
            own: the time of its request plus its lane's offset.
            last: the rank of the last waiting task of its share in its lane.
        """
        if last is None or not self.longest:
            return own
        # A rank may lie further ahead than any is given now: the settings were others, or a clock was.
        used = min(1.0, max(timedelta(0), last - own) / self.longest)
        step = max(timedelta.resolution, self.step * (1 - used) ** 2)
        return min(max(own, last + step), own + self.longest)

    def spread(self, tasks: Sequence[NewTask], last: Mapping[ShareInLane, datetime]) -> list[NewTask]:
        """Tasks in the order of their requests, with their ranks among those that wait already."""
        behind = dict(last)
        spread = []
        for task in tasks:
            place = (task.share, task.lane)
            behind[place] = self.rank(task.rank, behind.get(place))
            spread.append(replace(task, rank=behind[place]))
        return spread
