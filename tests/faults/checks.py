"""What must hold at the end, whatever happened on the way. Pure: evidence and the studio's truth in, violations out."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tests.faults.evidence import Evidence, Record
from tests.faults.flow import Accepted, Truth
from tests.faults.samples import BROKEN_CODES
from tests.faults.site_checks import find_site_violations
from tests.faults.violations import Violation

_ENDED: Final = {"ready", "broken", "missing"}


@dataclass(frozen=True)
class Excuses:
    """What a fault itself makes true: previews whose child hung for good, and whether an encoder lied.

    Attributes:
        damaged: previews whose source came damaged, when no event gave its checksum: if it decodes, nobody can know.
    """

    hung: frozenset[UUID] = frozenset()
    lying_encoder: bool = False
    damaged: frozenset[UUID] = frozenset()


Events = list[tuple[Record, dict[str, Any]]]


def find_violations(
    truths: Sequence[Truth], accepted: Sequence[Accepted], evidence: Evidence, excuses: Excuses
) -> list[Violation]:
    """Everything that must not be."""
    own = [record for record in evidence.statuses if not record.mirrored]
    events: dict[str, Events] = defaultdict(list)
    for record in own:
        if record.key and record.value:
            events[record.key.decode()].append((record, json.loads(record.value)))
    found = [
        *_accepted_left_a_trace(accepted, evidence),
        *_requests_have_outcomes(accepted, evidence, events),
        *_nobody_was_invented(truths, evidence),
    ]
    for truth in truths:
        key = str(truth.id)
        row = evidence.previews.get(key)
        if row is None:
            found.append(Violation("lost", "row", key, "no row"))
            continue
        first = _first_occurrences(events[key])
        found += _end(truth, row, excuses)
        found += _order(key, row, events[key], evidence)
        found += _transitions(truth, first, excuses)
        if row["status"] == "ready" and row["deleted_at"] is None:
            found += _files(truth, row, evidence, excuses)
    return [*found, *find_site_violations(evidence)]


def _accepted_left_a_trace(accepted: Sequence[Accepted], evidence: Evidence) -> Iterator[Violation]:
    rows = Counter(row["event_id"] for row in evidence.requests)
    letters = {record.key for record in evidence.dead_letters}
    for each in accepted:
        if each.kind == "unreadable":
            if each.key not in letters:
                yield Violation("lost", "dead letter", each.event_id, "an unreadable record is not put aside")
        elif rows[each.event_id] == 0:
            yield Violation("lost", "request", str(each.preview), f"{each.kind} {each.event_id} left no trace")
        elif rows[each.event_id] > 1:
            seen = f"{each.kind} {each.event_id} counted {rows[each.event_id]} times"
            yield Violation("invented", "counted once", str(each.preview), seen)


def _requests_have_outcomes(
    accepted: Sequence[Accepted], evidence: Evidence, events: Mapping[str, Events]
) -> Iterator[Violation]:
    answers: dict[str, list[str]] = defaultdict(list)
    for of_preview in events.values():
        for _, event in _first_occurrences(of_preview):
            job = event.get("job") or {}
            if job.get("state") in {"done", "failed"}:
                for event_id in job["request_ids"]:
                    answers[event_id].append(event["internal_status"])
    known = {each.event_id for each in accepted}
    deleted = {str(each.preview) for each in accepted if each.kind == "delete"}
    taken_in: dict[str, Any] = {}
    for row in evidence.requests:
        preview = str(row["preview_file_id"])
        if row["kind"] == "upload":
            taken_in.setdefault(preview, row["created_at"])
        if (
            row["outcome"] == "refused"
            and preview not in deleted
            and preview in taken_in
            and (row["created_at"] > taken_in[preview])
        ):
            yield Violation("lost", "refusal", preview, f"{row['kind']} {row['event_id']} was refused")
        if row["event_id"] not in known:
            yield Violation("invented", "request", preview, f"{row['event_id']} was never sent")
        elif row["outcome"] is None:
            yield Violation("stuck", "request", preview, f"{row['kind']} {row['event_id']} has no outcome")
        elif row["outcome"] in _ENDED and answers[row["event_id"]] != [row["outcome"]]:
            seen = f"{row['event_id']} is {row['outcome']}, its events say {answers[row['event_id']]}"
            yield Violation("invented", "answer", preview, seen)


def _nobody_was_invented(truths: Sequence[Truth], evidence: Evidence) -> Iterator[Violation]:
    known = {str(truth.id) for truth in truths}
    for key in evidence.previews.keys() - known:
        yield Violation("invented", "row", key, "nobody uploaded it")


def _end(truth: Truth, row: Mapping[str, Any], excuses: Excuses) -> Iterator[Violation]:
    key, status, code = str(truth.id), row["status"], row["failure_code"]
    if truth.deleted_at is not None:
        if row["deleted_at"] is None:
            yield Violation("lost", "deletion", key, f"is {status}, and was deleted")
        elif row["purged_at"] is None or row["tombstone_at"] is None:
            yield Violation("stuck", "deletion", key, "its purge or its tombstone never came")
        return
    if row["deleted_at"] is not None:
        yield Violation("invented", "deletion", key, "is deleted, and was uploaded after that")
        return
    assert truth.current
    said = f"is {status} ({code}: {row['failure_message']})"
    if status not in _ENDED:
        yield Violation("stuck", "status", key, said)
    elif row["upload_generation"] != truth.current.generation:
        seen = f"{said} of upload {row['upload_generation']}, the last was {truth.current.generation}"
        yield Violation("lost", "newest upload", key, seen)
    elif truth.current.sample is None:
        if status != "missing":
            yield Violation("invented", "status", key, f"{said}, its source was never stored")
    elif status == "missing":
        yield Violation("false_missing", "status", key, f"{said}, its source is there")
    elif not _is_true(status, code, truth.current.sample.frames is not None, truth.id, excuses):
        yield Violation("invented", "status", key, f"{said}, the upload was {truth.current.sample.name}")


def _is_true(status: str, code: str | None, good: bool, preview: UUID, excuses: Excuses) -> bool:
    if good:
        excused = (code == "timeout" and preview in excuses.hung) or (
            code in {"verification_failed", "corrupt"} and excuses.lying_encoder
        )
        return (status == "ready" and code is None) or (status == "broken" and excused)
    return status == "broken" and code in BROKEN_CODES


def _first_occurrences(events: Events) -> Events:
    seen: set[int] = set()
    first = []
    for record, event in events:
        if event["version"] not in seen:
            seen.add(event["version"])
            first.append((record, event))
    return first


def _order(key: str, row: Mapping[str, Any], events: Events, evidence: Evidence) -> Iterator[Violation]:
    versions = [event["version"] for _, event in _first_occurrences(events)]
    if versions != list(range(1, row["version"] + 1)):
        yield Violation(
            "out_of_order", "versions", key, f"its events come as {versions}, its row is at {row['version']}"
        )
    copies: dict[int, set[tuple[bytes | None, bytes | None]]] = defaultdict(set)
    for record, event in events:
        copies[event["version"]].add((record.headers.get("ce_id"), record.value))
    for version, different in copies.items():
        if len(different) > 1:
            yield Violation("out_of_order", "repetition", key, f"version {version} came with {len(different)} contents")
    last = [record for record in evidence.statuses if record.key == key.encode() and not record.mirrored][-1:]
    if not last:
        return
    value = json.loads(last[0].value) if last[0].value else None
    deleted = row["deleted_at"] is not None
    if value is None:
        same = deleted
    else:
        same = (value["version"], value["internal_status"]) == (row["version"], row["status"]) and not deleted
    if not same:
        held = "a tombstone" if value is None else f"version {value['version']} {value['internal_status']}"
        seen = f"the topic ends on {held}, the row is version {row['version']} {row['status']}, deleted: {deleted}"
        yield Violation("out_of_order", "compacted topic", key, seen)


def _transitions(truth: Truth, events: Events, excuses: Excuses) -> Iterator[Violation]:
    key = str(truth.id)
    fence = 0
    before: dict[str, Any] | None = None
    for _, event in events:
        state = (event["job"] or {}).get("state")
        status = event["internal_status"]
        said = f"version {event['version']} ({status}, job {state}, fence {event['fence']})"
        if event["internal_previous_status"] != (before["internal_status"] if before else None):
            yield Violation("invented", "transition", key, f"{said} comes from a status that was not")
        if event["deleted"]:
            if before and before["deleted"]:
                yield Violation("invented", "transition", key, f"{said} comes after its deletion")
            before = event
            continue
        before = event
        fits = {"queued": {"processing"}, "done": {"ready"}, "failed": {"broken", "missing"}}
        if status not in fits.get(str(state), set()):
            yield Violation("invented", "transition", key, f"{said} is no transition")
        if state in {"done", "failed"}:
            if event["fence"] <= fence:
                yield Violation("invented", "fence", key, f"{said} is of an attempt that had lost its job")
            fence = event["fence"]
        if status == "ready" and truth.id not in excuses.damaged and _older_file(truth, event):
            yield Violation("invented", "older file", key, f"{said} was made of an upload before the one that it names")
        if status == "missing" and not truth.absent:
            yield Violation("false_missing", "history", key, f"{said}, and its source was always there")


def _older_file(truth: Truth, event: Mapping[str, Any]) -> bool:
    """Whether an event calls an upload ready that only an older file was read for.

    A newer file is none: it lay in the store before its event was sent.
    """
    named = event["upload"]["generation"]
    at_least = {digest for generation, digest in truth.contents.items() if generation >= named}
    sources = [stored for stored in event["files"] if stored["key"].startswith("source-")]
    return bool(at_least) and any(stored["sha256"] not in at_least for stored in sources)


def _files(truth: Truth, row: Mapping[str, Any], evidence: Evidence, excuses: Excuses) -> Iterator[Violation]:
    key = str(truth.id)
    assert truth.current
    sample = truth.current.sample
    kinds = {stored["kind"] for stored in row["files"]}
    pictures = {"thumbnail", "square_thumbnail", "preview_picture", "original"}
    movies = {"source_movie", "low_definition", "high_definition", "tile"}
    wanted = pictures if truth.extension == "png" else pictures | movies
    if not wanted <= kinds:
        yield Violation("invented", "files", key, f"is ready without {sorted(wanted - kinds)}")
    for stored in row["files"]:
        name = f"{stored['bucket']}/{stored['key']}"
        there = evidence.stored.get((stored["bucket"], stored["key"]))
        is_source = stored["key"].startswith("source-") or (truth.extension == "png" and stored["kind"] == "original")
        damaged = truth.id in excuses.damaged
        if there != stored["sha256"] and not (damaged and is_source):
            yield Violation("invented", "stored bytes", key, f"is ready, but {name} is {there or 'not there'}")
        elif damaged:
            continue
        elif is_source and sample and stored["sha256"] != sample.sha256:
            yield Violation("invented", "source", key, f"is ready, made of something other than {sample.name}")
        elif stored["kind"] in {"low_definition", "high_definition"} and sample:
            shown = evidence.frames.get(stored["sha256"])
            if shown != sample.frames:
                yield Violation("invented", "frames", key, f"{name} shows {shown} of {sample.frames} frames")
