"""The last status changes, in the order in which they came, for all streams of a process.

Streams read them by number, and wait for what comes; none has a queue of its own, so that a slow client costs nothing.
A client that comes back shows a marker: for each partition of the topic, the offset that it has yet to see. So any
process can go on for it, as long as it still holds what came since.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

_MARKER: Final = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19}){0,9999}")


@dataclass(frozen=True)
class Change:
    """A status change in a partition of the topic, and the message of the stream that tells it."""

    partition: int
    offset: int
    project_id: UUID | None
    message: bytes


class Marker:
    """Offsets that a client has yet to see, by partition."""

    def __init__(self, offsets: Sequence[int]) -> None:
        self._offsets = tuple(offsets)

    @classmethod
    def parse(cls, text: str) -> Marker | None:
        """The marker that a client shows; None: it is none of ours."""
        return cls([int(each) for each in text.split(".")]) if _MARKER.fullmatch(text) else None

    def __str__(self) -> str:
        return ".".join(map(str, self._offsets))

    def of(self, partition: int) -> int:
        """The offset in a partition; 0 in one that was added since."""
        return self._offsets[partition] if partition < len(self._offsets) else 0


class ChangeHistory:
    """At most `limit` changes; what is older is forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changes: dict[int, Change] = {}
        self._positions: dict[int, int] = {}
        self._floors: dict[int, int] = {}
        self.first = 0  # number of the oldest that is held
        self.next = 0  # number of the next that comes
        self.moved = asyncio.Event()

    @property
    def positions(self) -> Mapping[int, int]:
        """The offsets that come next, by partition."""
        return self._positions

    def begin(self, positions: Mapping[int, int]) -> None:
        """Follow partitions from these offsets on; of those that are followed already, nothing changes."""
        for partition, offset in positions.items():
            self._positions.setdefault(partition, offset)
            self._floors.setdefault(partition, offset)

    def forget(self, positions: Mapping[int, int]) -> None:
        """Hold nothing, and go on at these offsets: what was held has no place before what comes."""
        self._positions = dict(positions)
        self._floors = dict(positions)
        self._changes.clear()
        self.first = self.next

    def marker(self) -> Marker:
        """Of a client that has seen all that came."""
        return self._marker_with({})

    def marker_after(self, partition: int, offset: int) -> Marker:
        """Of a client that has seen all that came, and a change that comes now."""
        return self._marker_with({partition: offset + 1})

    def add(self, change: Change) -> None:
        """Take a change in; `passed_on` tells who waits for it."""
        self._positions[change.partition] = change.offset + 1
        self._changes[self.next] = change
        self.next += 1
        if len(self._changes) > self._limit:
            oldest = self._changes.pop(self.first)
            self._floors[oldest.partition] = oldest.offset + 1
            self.first += 1

    def passed_on(self) -> None:
        """Wake the streams."""
        self.moved.set()
        self.moved = asyncio.Event()

    def holds_since(self, marker: Marker) -> bool:
        """Whether all is held that a client has yet to see."""
        return all(marker.of(partition) >= floor for partition, floor in self._floors.items())

    def reached(self, marker: Marker) -> bool:
        """Whether all has come that a client has seen: another process may be ahead of this one."""
        return all(position >= marker.of(partition) for partition, position in self._positions.items())

    def since(self, number: int, most: int) -> list[Change] | None:
        """At most so many changes from this number on; None: the first of them is forgotten."""
        if number < self.first:
            return None
        return [self._changes[each] for each in range(number, min(number + most, self.next))]

    def _marker_with(self, ahead: Mapping[int, int]) -> Marker:
        positions = {**self._positions, **ahead}
        return Marker([positions.get(each, 0) for each in range(max(positions, default=-1) + 1)])
