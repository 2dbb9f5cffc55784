"""Mutants: the product without one of its mechanisms, each with the faults that show the lack and who must see it.

They are switched on by `tests.faults.process`, after the product was imported; nothing of them is in the product.
Where a mechanism closes a window of microseconds, its mutant holds the window open for a moment, so that a run of a
minute falls into it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from rushes_normalizer import looking, workshop
from rushes_normalizer.media import make
from rushes_runtime import circuits, intake, ledger, outbox, relay, worker
from rushes_runtime.database import Database
from rushes_runtime.janitor import Janitor
from rushes_runtime.leases import RoleLease
from rushes_runtime.outbox import Outgoing
from rushes_runtime.store import SENTINEL_KEY, Unconditional, proof
from rushes_runtime.store.s3 import S3Store
from rushes_schemas import FailureCode
from rushes_syncer import abandoned, application, sites
from rushes_syncer import workshop as syncer_workshop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.faults.plan import LEASE, SITES, Fault

_OPEN_WINDOW: Final = 0.5  # seconds


@dataclass(frozen=True)
class Mutant:
    """What is taken away, which faults show it, and which checks see it.

    Attributes:
        lacks: in words.
        faults: of its directed run, in order.
        seen_by: names of checks; one of them must see it.
    """

    name: str
    lacks: str
    switch_on: Callable[[], None]
    faults: tuple[Fault, ...]
    seen_by: frozenset[str]


def _without(owner: object, name: str, condition: str) -> None:
    """Take a condition out of a statement of the product's."""
    _saying(owner, name, condition, "")


def _saying(owner: object, name: str, old: str, new: str) -> None:
    """Let a statement of the product's say something else."""
    statement = str(getattr(owner, name))
    assert old in statement, f"{name} no longer says {old!r}"
    setattr(owner, name, text(statement.replace(old, new)))


def _instead_of(owner: object, name: str) -> Callable[[Callable[..., Any]], None]:
    """Put a function in the place of one of the product's; it gets that one as its first argument."""
    original = getattr(owner, name)
    given = inspect.signature(original).parameters.values()
    by_name = {each.name: None for each in given if each.kind is each.KEYWORD_ONLY}
    in_turn = [None for each in given if each.kind is each.POSITIONAL_OR_KEYWORD]

    def put(function: Callable[..., Any]) -> None:
        inspect.signature(function).bind(original, *in_turn, **by_name)

        def replacing(*values: Any, **names: Any) -> Any:
            return function(original, *values, **names)

        setattr(owner, name, replacing)

    return put


async def _nothing(*_: Any, **__: Any) -> None:
    """Instead of something."""


def _ignore_fences() -> None:
    for name in ("END", "REQUEUE"):
        _without(ledger, name, " AND fence = :fence AND state = 'running'")
        # The history takes each fence once, and would stop what the fence itself must.
        _saying(ledger, name, "FROM ended)", "FROM ended ON CONFLICT DO NOTHING)")
    _show_no_lease()


def _show_no_lease() -> None:
    """Whoever lost a job is not told: neither by its timer nor before it writes."""
    _without(ledger, "RENEW", " AND task.fence = mine.fence AND task.state = 'running'")
    _instead_of(ledger, "is_held")(_true)


async def _true(*_: Any, **__: Any) -> bool:
    return True


async def _false(*_: Any, **__: Any) -> bool:
    return False


def _write_without_condition() -> None:
    @_instead_of(S3Store, "write")
    def write(original: Any, store: S3Store, bucket: str, key: str, *, condition: Any, **rest: Any) -> Any:
        # By its sentinel the product finds out at its start whether conditions are kept.
        condition = condition if key == SENTINEL_KEY else Unconditional()
        return original(store, bucket, key, condition=condition, **rest)


def _write_events_after_commit() -> None:
    waiting: dict[int, list[Outgoing]] = {}
    write = outbox.put

    @_instead_of(outbox, "put")
    async def put(_: Any, connection: AsyncConnection, records: Iterable[Outgoing]) -> None:
        waiting.setdefault(id(connection), []).extend(records)

    @_instead_of(Database, "begin")
    @asynccontextmanager
    async def begin(original: Any, self: Database) -> AsyncIterator[AsyncConnection]:
        async with original(self) as connection:
            waiting.pop(id(connection), None)
            yield connection
        if records := waiting.pop(id(connection), []):
            await asyncio.sleep(_OPEN_WINDOW)
            async with original(self) as another:
                await write(another, records)


def _write_events_before_commit() -> None:
    @_instead_of(outbox, "put")
    async def put(original: Any, connection: AsyncConnection, records: Iterable[Outgoing]) -> None:
        async with connection.engine.begin() as another:
            await original(another, records)
        await asyncio.sleep(_OPEN_WINDOW)


def _commit_offsets_first() -> None:
    @_instead_of(intake.Intake, "_consume")
    async def consume(_: Any, self: Any, consumer: Any, _credentials: Any, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._beat()
            batches = await self._poll(consumer) or {}
            records = [record for partition in batches.values() for record in partition]
            if records:
                await self._commit(consumer, batches)
                if not await self._hold(records, stop):
                    self._seek_back(consumer, batches)


def _take_one_look() -> None:
    def after_failure(original: Any, code: FailureCode, *, looks: int, **rest: Any) -> Any:
        return original(code, looks=1, **rest)

    for owner in (worker, looking):
        _instead_of(owner, "after_failure")(after_failure)


def _try_once() -> None:
    @_instead_of(worker, "after_failure")
    def after_failure(original: Any, code: FailureCode, *, policy: Any, store_back_in: Any, **rest: Any) -> Any:
        return original(code, policy=replace(policy, limit=1), **rest)


def _look_at_no_sentinel() -> None:
    for owner in (workshop, circuits, proof):
        _instead_of(owner, "prove_whole")(_nothing)


def _verify_nothing() -> None:
    for name in ("verify_movie", "verify_by_decoding", "verify_pictures"):
        _instead_of(make, name)(_nothing)


def _forget_the_inbox() -> None:
    @_instead_of(intake.Intake, "_new")
    async def new(_: Any, self: Any, connection: AsyncConnection, events: Iterable[Any]) -> list[Any]:
        return list(events)


def _relay_as_one_likes() -> None:
    @_instead_of(RoleLease, "hold")
    async def hold(original: Any, self: RoleLease) -> bool:
        return self._role == "relay" or await original(self)

    @_instead_of(relay, "make_producer")
    def make_producer(original: Any, kafka: Any, name: str) -> Any:
        return original(kafka, f"{name}-{os.getpid()}")

    @_instead_of(relay.Relay, "_send")
    async def send(original: Any, *what: Any) -> None:
        await asyncio.sleep(_OPEN_WINDOW)
        await original(*what)


def _mark_before_sending() -> None:
    @_instead_of(relay.Relay, "_send")
    async def send(original: Any, self: Any, producer: Any, rows: list[Any]) -> None:
        mark = "UPDATE outbox SET sent_at = now() WHERE id = ANY(:ids) RETURNING id"
        await self._database.fetch(mark, ids=[row.id for row in rows])
        await asyncio.sleep(_OPEN_WINDOW)
        await original(self, producer, rows)


def _send_newest_first() -> None:
    @_instead_of(relay.Relay, "_send")
    async def send(original: Any, self: Any, producer: Any, rows: list[Any]) -> None:
        await original(self, producer, rows[::-1])


def _believe_any_version() -> None:
    _without(sites, "SAVE", "WHERE seen.version < excluded.version")


def _take_nothing_back() -> None:
    @_instead_of(Janitor, "_lost")
    async def lost(*_: Any) -> list[Any]:
        return []


def _leave_requests_behind() -> None:
    _instead_of(workshop.PreviewWorkshop, "joined")(_nothing)


def _copy_unverified() -> None:
    @_instead_of(syncer_workshop, "copy_object")
    async def copy_object(original: Any, *where: Any, sha256: str | None, **rest: Any) -> Any:
        return await original(*where, sha256=None, **rest)


def _take_jobs_of_any_site() -> None:
    """Where there is one site it is the product."""

    @_instead_of(application, "run_roles")
    async def run_roles(original: Any, *what: Any, areas: Any, **rest: Any) -> Any:
        return await original(*what, areas=(), **rest)

    @_instead_of(syncer_workshop.CopyWorkshop, "__init__")
    def init(original: Any, self: Any, database: Any, main: Any, stores: Any, rules: Any, *rest: Any) -> None:
        # Each copies to its own site, whichever the job names.
        (store,), (rule,) = stores.values(), rules.values()
        original(self, database, main, dict.fromkeys(SITES, store), dict.fromkeys(SITES, rule), *rest)


def _leave_uploads() -> None:
    @_instead_of(abandoned, "remove_abandoned")
    async def remove_abandoned(*_: Any) -> int:
        return 0


def _watch_nobody() -> None:
    _instead_of(worker.Worker, "_watch")(lambda *_: None)


def _bury_nothing() -> None:
    _instead_of(intake.Intake, "_bury")(_nothing)


def _see_no_new_source() -> None:
    _instead_of(workshop.PreviewWorkshop, "_check_unchanged")(_nothing)
    _instead_of(workshop.PreviewWorkshop, "_superseded")(_false)


def _faults(*kinds: tuple[str, str, float] | tuple[str, str, float, float]) -> tuple[Fault, ...]:
    """Faults one after another: kind, target, seconds; a fourth figure begins it so long after the one before began."""
    made = []
    for number, (kind, target, seconds, *after) in enumerate(kinds, 1):
        made.append(Fault(number, kind, target, seconds, after[0] if after else 0.5, overlaps=bool(after)))
    return tuple(made)


_FIRST, _SECOND, _ALL = "normalizer-1", "normalizer-2", "all"
_LONG: Final = LEASE + 3
_PAUSED_IN_JOB: Final = _faults(*(("pause_in_job", each, _LONG) for each in (_FIRST, _SECOND, _FIRST)))
_PAUSED_IN_PUBLISH: Final = _faults(*(("pause_in_publish", each, _LONG) for each in (_FIRST, _SECOND, _FIRST)))
_KILLED: Final = _faults(("kill_in_job", _FIRST, 0), ("kill_in_job", _SECOND, 0))
_STORED: Final = frozenset({"stored bytes", "source", "frames"})
_ORDER: Final = frozenset({"versions", "repetition", "compacted topic"})

MUTANTS: Final = {
    mutant.name: mutant
    for mutant in (
        Mutant("fence_ignored", "ends and renewals name no fence", _ignore_fences, _PAUSED_IN_JOB,
               frozenset({"fence", "transition", "versions", "compacted topic"})),
        Mutant("lease_not_shown", "a worker that lost its job is not told", _show_no_lease,
               _PAUSED_IN_PUBLISH, _STORED),
        Mutant("unconditional_writes", "outputs are written without a condition", _write_without_condition,
               _PAUSED_IN_PUBLISH, _STORED),
        Mutant("outbox_after_commit", "events are written in a second transaction", _write_events_after_commit,
               _faults(*(("kill_after_end", each, 0) for each in (_FIRST, _SECOND, _FIRST, _SECOND))), _ORDER),
        Mutant("outbox_before_commit", "events are written in a transaction before", _write_events_before_commit,
               _faults(*[("connections_ended", _ALL, 0, 1.3)] * 10), _ORDER),
        Mutant("offsets_first", "offsets are committed before the batch is taken in", _commit_offsets_first,
               _faults(("kill_cut_off", _ALL, 4), ("kill_cut_off", _ALL, 4)),
               frozenset({"request", "row", "dead letter"})),
        Mutant("one_look", "absence is believed at the first look", _take_one_look,
               _faults(("sources_absent", _ALL, 4), ("sources_absent", _ALL, 4)), frozenset({"status", "history"})),
        Mutant("no_sentinel", "the sentinel is not looked at", _look_at_no_sentinel,
               _faults(("all_absent", _ALL, 16)), frozenset({"status", "history"})),
        Mutant("unverified", "outputs are not verified", _verify_nothing, _faults(("lying_encoder", _SECOND, 8)),
               frozenset({"frames"})),
        Mutant("no_inbox", "an event that comes again counts again", _forget_the_inbox,
               _faults(*[("records_again", "broker", 0, 8.0)] * 2), frozenset({"counted once"})),
        Mutant("relay_unfenced", "every process relays, under an id of its own", _relay_as_one_likes,
               _faults(*(("pause_relaying", each, _LONG) for each in (_FIRST, _SECOND, _FIRST, _SECOND))), _ORDER),
        Mutant("marked_first", "outbox rows are marked before they are sent", _mark_before_sending,
               _faults(*[("kill_both", _ALL, 0, 3.0)] * 4), _ORDER),
        Mutant("newest_first", "the relay sends the newest first", _send_newest_first,
               _faults(("relay_locked_out", "relay", 6)), _ORDER),
        Mutant("any_version", "the syncer believes older records", _believe_any_version,
               _faults(("pause", _FIRST, 4), ("status_records_again", "broker", 0)), frozenset({"site row"})),
        Mutant("no_janitor", "nobody takes lost jobs back", _take_nothing_back, _KILLED,
               frozenset({"settling", "status", "request"})),
        Mutant("requests_left", "requests of a job that joined another are not moved", _leave_requests_behind,
               _faults(*(("kill_asked_again", each, 0) for each in (_FIRST, _SECOND, _FIRST, _SECOND))),
               frozenset({"request", "settling"})),
        Mutant("unverified_copies", "copies are not compared with what was published", _copy_unverified,
               _faults(("store_flipped", "syncer-lyon", 8)), frozenset({"site bytes", "site object"})),
        Mutant("one_try", "a transient failure ends the job", _try_once,
               _faults(("store_error", _ALL, 4), ("store_denied", _ALL, 4)), frozenset({"status"})),
        Mutant("no_watchdog", "a job that hangs is left alone", _watch_nobody,
               _faults(("hang_child_for_good", _FIRST, 0), ("hang_child_for_good", _SECOND, 0)),
               frozenset({"settling", "status"})),
        Mutant("no_dead_letters", "what cannot be read is dropped", _bury_nothing,
               _faults(("unreadable_records", "broker", 0)), frozenset({"dead letter"})),
        Mutant("old_results", "a result of an old upload counts for a new one", _see_no_new_source,
               _faults(*(("reupload_in_job", each, 0) for each in (_FIRST, _SECOND, _FIRST, _SECOND))),
               frozenset({"older file", "source", "status"})),
        Mutant("any_sites_jobs", "a syncer takes the jobs of other sites, too", _take_jobs_of_any_site,
               _faults(("pause_in_job", "syncer-lyon", 4), ("pause_in_job", "syncer-oslo", 4)),
               frozenset({"site bytes"})),
        Mutant("uploads_left", "what killed copies left is left", _leave_uploads,
               _faults(("kill_in_upload", "syncer-oslo", 0)), frozenset({"settling", "site leftovers"})),
    )
}  # fmt: skip
