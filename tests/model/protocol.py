"""A model of lease, fence, conditional write and outbox, small enough to be explored to its last state.

Two workers, two previews and three attempts at each. Every process may stop for any time between two steps: nobody
has to move. A worker may forget everything (killed), and so may intake and relay. A step is what one transaction, one
request to the store or one send to the bus does; nothing else is atomic.

`Rules` are the guarantees' mechanisms; a mutant lacks one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

PREVIEWS: Final = 2
WORKERS: Final = 2
ATTEMPTS: Final = 3


@dataclass(frozen=True)
class Rules:
    """The mechanisms that carry the guarantees."""

    lease_checked: bool = True  # the janitor takes back only what has outlived its lease
    fence_checked: bool = True  # a statement that ends or moves a running task names its fence
    outbox_in_transaction: bool = True  # a transition and its event are one transaction
    offsets_committed_last: bool = True  # an offset is committed once its record is in the database
    write_conditional: bool = True  # an output is written only over the version that was seen
    looks_before_confirming: bool = True  # and that version was seen before the lease was last confirmed
    marks_what_it_sent: bool = True  # the relay marks the rows that it sent, not those that came meanwhile


class Preview(NamedTuple):
    """One preview: its task, its row, its output in the store, and its outbox rows."""

    state: str = "unknown"  # of the task: queued, running, ended
    fence: int = 0  # of the last claim; claims of a preview count from 1
    lease_over: bool = False
    status: str = "none"  # of the row: processing, ready, broken
    version: int = 0
    row_fence: int = 0  # whose result the row holds
    output: int = 0  # the fence of whoever wrote the output
    outbox: tuple[int, ...] = ()  # versions not yet marked as sent
    in_flight: int = 0  # of these, how many the relay has sent and will mark
    seen: int = 0  # the newest version that consumers have seen
    skipped: bool = False  # a version came before an older one


class Worker(NamedTuple):
    """What a worker remembers of its attempt."""

    preview: int
    fence: int
    stage: str = "working"  # looked, confirmed, written, unannounced
    condition: int = 0  # the output as it was seen
    lease_over: bool = False


class State(NamedTuple):
    """All that is durable, and all that is remembered. One batch on the bus holds both uploads."""

    previews: tuple[Preview, ...] = (Preview(),) * PREVIEWS
    workers: tuple[Worker | None, ...] = (None,) * WORKERS
    polled: bool = False  # intake holds the batch in memory
    committed: bool = False  # the batch's offset

    def canonical(self) -> State:
        """Workers have no names, and neither have previews: one state stands for all that differ only in these."""
        workers = sorted(self.workers, key=_order)
        if self.previews[0] <= self.previews[1]:
            return self._replace(workers=tuple(workers))
        swapped = [each and each._replace(preview=1 - each.preview) for each in workers]
        return self._replace(previews=self.previews[::-1], workers=tuple(sorted(swapped, key=_order)))


def _order(worker: Worker | None) -> tuple[object, ...]:
    return worker or ()


class Step(NamedTuple):
    """A step, and who may take it."""

    name: str
    after: State
    preview: int = 0
    fence: int = 0  # of the worker that takes it


def steps(state: State, rules: Rules) -> Iterator[Step]:
    """Every step that somebody can take next, but for the order of steps that do not see each other."""
    yield from _intake_steps(state, rules)
    if state.previews[0].version and not state.committed:
        # What is left to intake changes nothing that others read: their steps may as well come after its commit.
        return
    yield from _relay_steps(state, rules)
    for index, preview in enumerate(state.previews):
        yield from _janitor_steps(state, index, preview, rules)
        if preview.state == "running" and not preview.lease_over:
            yield Step("the lease runs out", _lease(state, index, over=True), index)
    for slot, worker in enumerate(state.workers):
        if worker is None:
            for index, preview in enumerate(state.previews):
                if preview.state == "queued":
                    claimed = preview._replace(state="running", fence=preview.fence + 1)
                    after = _with_preview(state, index, claimed)
                    yield Step("claim", _with_worker(after, slot, Worker(index, claimed.fence)), index, claimed.fence)
        else:
            for name, after in _worker_steps(state, slot, worker, rules):
                yield Step(name, after, worker.preview, worker.fence)


def _intake_steps(state: State, rules: Rules) -> Iterator[Step]:
    taken_in = state.previews[0].version > 0  # the inbox knows the batch
    if state.polled:
        yield Step("intake is killed", state._replace(polled=False))
        if not taken_in:
            new = Preview(state="queued", status="processing", version=1, outbox=(1,))
            yield Step("intake takes in", state._replace(previews=(new,) * PREVIEWS, polled=not state.committed))
        if not state.committed and (taken_in or not rules.offsets_committed_last):
            yield Step("intake commits the offset", state._replace(committed=True, polled=not taken_in))
    elif not state.committed:
        yield Step("intake polls", state._replace(polled=True))


def _relay_steps(state: State, rules: Rules) -> Iterator[Step]:
    """One batch is one Kafka transaction and one statement that marks it.

    If the relay is killed between the two, the next one begins by sending what is not marked.
    """
    if any(each.in_flight for each in state.previews):
        kept = [each.outbox[each.in_flight :] if rules.marks_what_it_sent else () for each in state.previews]
        marked = [each._replace(outbox=rest, in_flight=0) for each, rest in zip(state.previews, kept, strict=True)]
        yield Step("the relay marks", state._replace(previews=tuple(marked)))
    if any(each.outbox for each in state.previews):
        yield Step("a relay sends", state._replace(previews=tuple(map(_sent, state.previews))))


def _sent(preview: Preview) -> Preview:
    """Consumers drop what is not newer than what they hold; what they must never see is a gap."""
    if not preview.outbox:
        return preview
    gap = preview.outbox[0] > preview.seen + 1
    newest = max(preview.seen, preview.outbox[-1])
    return preview._replace(in_flight=len(preview.outbox), seen=newest, skipped=preview.skipped or gap)


def _janitor_steps(state: State, index: int, preview: Preview, rules: Rules) -> Iterator[Step]:
    if preview.state == "running" and (preview.lease_over or not rules.lease_checked):
        if preview.fence < ATTEMPTS:
            queued = preview._replace(state="queued", lease_over=False)
            yield Step("the janitor takes the job back", _with_preview(state, index, queued), index)
        else:
            ended = _transition(preview, "broken", preview.fence)
            yield Step("the janitor ends the job", _with_preview(state, index, ended), index)


def _worker_steps(state: State, slot: int, worker: Worker, rules: Rules) -> Iterator[tuple[str, State]]:
    preview = state.previews[worker.preview]
    held = preview.state == "running" and preview.fence == worker.fence
    gone = _with_worker(state, slot, None)
    yield "the worker is killed", gone
    if worker.stage == "unannounced":  # only a mutant comes here: the row is written, the event is not yet
        written = preview._replace(outbox=(*preview.outbox, preview.version))
        yield "the event is written", _with_preview(gone, worker.preview, written)
        return
    if not held and rules.fence_checked:
        yield "the worker sees that it was fenced off", gone
    if held and preview.lease_over:
        yield "renew", _lease(state, worker.preview, over=False)
    match worker.stage, rules.looks_before_confirming:
        case ("working", True) | ("confirmed", False):
            looked = worker._replace(stage="looked", condition=preview.output)
            yield "look at the output", _with_worker(state, slot, looked)
        case ("looked", True) | ("working", False) if held:
            yield "confirm the lease", _with_worker(state, slot, worker._replace(stage="confirmed"))
        case ("confirmed", True) | ("looked", False):
            if preview.output == worker.condition or not rules.write_conditional:
                after = _with_preview(state, worker.preview, preview._replace(output=worker.fence))
                yield "write the output", _with_worker(after, slot, worker._replace(stage="written"))
            else:
                yield "the condition fails", _with_worker(state, slot, worker._replace(stage="working", condition=0))
    if preview.state == "running" and (held or not rules.fence_checked):
        yield from _endings(state, slot, worker, rules)


def _endings(state: State, slot: int, worker: Worker, rules: Rules) -> Iterator[tuple[str, State]]:
    preview = state.previews[worker.preview]
    if worker.stage == "written":
        ready = _transition(preview, "ready", worker.fence)
        if rules.outbox_in_transaction:
            yield "end as ready", _with_preview(_with_worker(state, slot, None), worker.preview, ready)
        else:
            after = _with_worker(state, slot, worker._replace(stage="unannounced"))
            yield "end as ready", _with_preview(after, worker.preview, ready._replace(outbox=preview.outbox))
    elif worker.stage == "working":
        if worker.fence < ATTEMPTS:
            failed = preview._replace(state="queued", lease_over=False)
        else:
            failed = _transition(preview, "broken", worker.fence)
        yield "fail", _with_preview(_with_worker(state, slot, None), worker.preview, failed)


def _transition(preview: Preview, status: str, fence: int) -> Preview:
    """A job's end: row, version and event at once."""
    version = preview.version + 1
    outbox = (*preview.outbox, version)
    return preview._replace(
        state="ended", lease_over=False, status=status, version=version, row_fence=fence, outbox=outbox
    )


def _with_preview(state: State, index: int, preview: Preview) -> State:
    previews = (preview, state.previews[1]) if index == 0 else (state.previews[0], preview)
    return State(previews, state.workers, state.polled, state.committed)


def _with_worker(state: State, slot: int, worker: Worker | None) -> State:
    workers = (worker, state.workers[1]) if slot == 0 else (state.workers[0], worker)
    return State(state.previews, workers, state.polled, state.committed)


def _lease(state: State, index: int, *, over: bool) -> State:
    """Time is the same for the database and for the worker that holds the lease."""
    preview = state.previews[index]
    workers = tuple(
        each._replace(lease_over=over) if each and (each.preview, each.fence) == (index, preview.fence) else each
        for each in state.workers
    )
    return _with_preview(state, index, preview._replace(lease_over=over))._replace(workers=workers)


def one_live_owner(state: State) -> bool:
    """No preview has two workers whose leases both run."""
    live = [each.preview for each in state.workers if each and not each.lease_over and each.stage != "unannounced"]
    return len(live) == len(set(live))


def fenced_worker_changes_no_row(before: State, step: Step) -> bool:
    """A worker changes a row only under the newest fence of its preview."""
    old, new = before.previews[step.preview], step.after.previews[step.preview]
    return not step.fence or step.fence == new.fence or (old.state, old.version) == (new.state, new.version)


def output_is_the_rows(state: State) -> bool:
    """The output of a preview that is ready is the one that its row tells of, whoever wakes up later."""
    return all(each.status != "ready" or each.output == each.row_fence for each in state.previews)


def each_version_has_its_event(state: State) -> bool:
    """Whatever version a row has, that event stands in the outbox or was seen."""
    return all(each.version in {each.seen, *each.outbox} for each in state.previews)


def events_come_in_order(state: State) -> bool:
    """Consumers see no version before an older one."""
    return not any(each.skipped for each in state.previews)


def all_is_settled(state: State) -> bool:
    """Once nobody can take a step, each upload was taken in, has ended, and its last version was seen."""
    return all(each.state == "ended" and each.status in {"ready", "broken"} and each.seen == each.version
               and not each.outbox for each in state.previews)  # fmt: skip


CHECKS: Final[tuple[Callable[[State], bool], ...]] = (
    one_live_owner,
    output_is_the_rows,
    each_version_has_its_event,
    events_come_in_order,
)


@dataclass(frozen=True)
class Explored:
    """What exploring came to.

    Attributes:
        states: how many different ones were reached.
        broken: the name of the check that failed first, by the shortest way there; None if none did.
        trace: the steps of that way.
    """

    states: int
    broken: str | None = None
    trace: tuple[str, ...] = ()


def explore(rules: Rules) -> Explored:
    """Visit every reachable state, nearest first, until a check fails."""
    came: dict[State, tuple[State, str] | None] = {State().canonical(): None}
    layer = list(came)
    while layer:
        reached: list[State] = []
        for state in layer:
            stuck = True
            for step in steps(state, rules):
                stuck = False
                if not fenced_worker_changes_no_row(state, step):
                    return Explored(len(came), fenced_worker_changes_no_row.__name__, (*_way(came, state), step.name))
                after = step.after.canonical()
                if after not in came:
                    came[after] = (state, step.name)
                    reached.append(after)
                    broken = next((check.__name__ for check in CHECKS if not check(after)), None)
                    if broken:
                        return Explored(len(came), broken, _way(came, after))
            if stuck and not all_is_settled(state):
                return Explored(len(came), all_is_settled.__name__, _way(came, state))
        layer = reached
    return Explored(len(came))


def _way(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    names = []
    while (origin := came[state]) is not None:
        state, name = origin
        names.append(name)
    return tuple(reversed(names))
