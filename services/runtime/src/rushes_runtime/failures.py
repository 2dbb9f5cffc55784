"""What can go wrong with an attempt, and what follows from it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from rushes_schemas import FailureCode, is_transient


class AttemptFailedError(Exception):
    """An attempt cannot reach its end.

    Attributes:
        code: why, in the field's terms.
        message: one sentence for operators; it stands on the row and in the event.
        for_artist: one for the person who uploaded, where more can be said than the code does.
    """

    def __init__(self, code: FailureCode, message: str, *, for_artist: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.for_artist = for_artist


class StartRefusedError(Exception):
    """A server is there and must not be worked with; the text says what to check."""


class PoolerModeError(StartRefusedError):
    """What pools the connections to the database does not allow what the services need."""


class SchemaTooNewError(StartRefusedError):
    """A newer version has migrated the database; the text says to which revision."""


class InstanceMismatchError(StartRefusedError):
    """The database or the store belongs to another instance of Rushes; the text says what to check."""


class AddressRefusedError(StartRefusedError):
    """The process cannot listen where its settings say; the text names them."""


class UnfencedStoreError(StartRefusedError):
    """The store does not keep the conditions of writes; the text says what can be done about it."""


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed job is tried again.

    Attributes:
        limit: attempts with a transient failure before the job ends.
        age: how long after its request a job is still tried again.
        first_wait: before the second attempt; doubles with each further one.
        longest_wait: between two attempts.
        confirm_absence_after: between the two looks that prove a source missing.
    """

    limit: int
    age: timedelta
    first_wait: timedelta
    longest_wait: timedelta
    confirm_absence_after: timedelta


class CountsAs(Enum):
    """What an attempt costs a job that goes back to the queue."""

    TRY = auto()
    LOOK = auto()
    NOTHING = auto()


@dataclass(frozen=True)
class TryAgain:
    """The job goes back to the queue."""

    wait: timedelta
    counts_as: CountsAs = CountsAs.TRY


@dataclass(frozen=True)
class End:
    """The job ends as failed."""


def after_failure(
    code: FailureCode,
    *,
    tries: int,
    looks: int,
    requested_at: datetime,
    now: datetime,
    policy: RetryPolicy,
    store_back_in: timedelta | None = None,
    jitter: float | None = None,
) -> TryAgain | End:
    """What becomes of a job whose attempt failed.

    Args:
        tries: attempts that failed transiently before this one.
        looks: times that the source was seen absent before this one.
        store_back_in: it failed because a store is down: the time until that is looked at again. Such an attempt counts
            for nothing, and an outage may outlast the age at which jobs are given up.
        jitter: 0 to 1, shortens the wait by up to a half so that jobs do not come back all at once.
    """
    if code is FailureCode.SOURCE_MISSING:
        return End() if looks >= 1 else TryAgain(policy.confirm_absence_after, CountsAs.LOOK)
    share = random.random() if jitter is None else jitter  # noqa: S311 - spreads load, guards nothing
    if store_back_in is not None:
        return TryAgain(store_back_in + policy.first_wait * (1 - share / 2), CountsAs.NOTHING)
    if not is_transient(code) or tries + 1 >= policy.limit or now - requested_at >= policy.age:
        return End()
    wait = min(policy.longest_wait, policy.first_wait * 2 ** min(tries, 30))
    return TryAgain(wait * (1 - share / 2))
