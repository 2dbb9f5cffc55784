"""What must hold at each site: it has what the topic's newest records name, and nothing that no record ever named."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from tests.faults.at_sites import AtSite
from tests.faults.evidence import Evidence
from tests.faults.violations import Violation

Places = Mapping[tuple[str, str], set[str]]


def find_site_violations(evidence: Evidence) -> list[Violation]:
    """Everything that must not be at the sites that were looked at."""
    newest: dict[str, dict[str, Any] | None] = {}
    named: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in evidence.statuses:
        if record.key is None or record.mirrored:
            continue
        event = json.loads(record.value) if record.value else None
        newest[record.key.decode()] = event
        for stored in event["files"] if event else []:
            named[stored["bucket"], stored["key"]].add(stored["sha256"])
    found: list[Violation] = []
    for name, site in evidence.sites.items():
        found += _has_heard(name, site, evidence)
        found += _has_what_is_named(name, site, evidence, newest)
        found += _has_nothing_else(name, site, named)
    return found


def _has_heard(name: str, site: AtSite, evidence: Evidence) -> Iterator[Violation]:
    for key, row in evidence.previews.items():
        seen = site.seen.get(key)
        if seen is None:
            yield Violation("lost", "site row", key, f"{name} has never heard of it")
        elif (seen["version"], seen["status"]) != (row["version"], row["status"]):
            said = (
                f"{name} knows version {seen['version']} {seen['status']}, the row is {row['version']} {row['status']}"
            )
            yield Violation("out_of_order", "site row", key, said)


def _has_what_is_named(
    name: str, site: AtSite, evidence: Evidence, newest: Mapping[str, dict[str, Any] | None]
) -> Iterator[Violation]:
    """Whatever the status: its files are those of the last published set."""
    for key, event in newest.items():
        if event is None or event["deleted"]:
            continue
        for stored in event["files"]:
            place = stored["bucket"], stored["key"]
            # What the main store holds instead is another check's business; of that no site can have a copy.
            if stored["kind"] == "source_movie" or evidence.stored.get(place) != stored["sha256"]:
                continue
            there = site.objects.get(place)
            if there != stored["sha256"]:
                is_at = "another" if there else "absent"
                seen = f"is {event['internal_status']}, but {stored['bucket']}/{stored['key']} at {name} is {is_at}"
                yield Violation("invented" if there else "lost", "site bytes", key, seen)


def _has_nothing_else(name: str, site: AtSite, named: Places) -> Iterator[Violation]:
    for (bucket, key), digest in site.objects.items():
        if digest not in named.get((bucket, key), set()):
            seen = f"{bucket}/{key} at {name} is {digest}, which no record names"
            yield Violation("invented", "site object", key[-36:], seen)
    for each in site.unfinished:
        yield Violation("stuck", "site leftovers", "any", f"{each} was begun at {name} and is left")
