"""What a seed means: a list of faults and an endless flow of uploads and requests. Nothing here runs anything."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

NORMALIZERS: Final = ("normalizer-1", "normalizer-2")
FOLDER_SITE: Final = "lyon"
S3_SITE: Final = "oslo"
SITES: Final = (FOLDER_SITE, S3_SITE)
SYNCERS: Final = tuple(f"syncer-{site}" for site in SITES)
PROCESSES: Final = (*NORMALIZERS, *SYNCERS)
BROKER: Final = "broker"
ALL: Final = "all"

# Settings that faults and checks are measured by, in seconds.
LEASE: Final = 5.0
CONFIRM_ABSENCE: Final = 8.0
STALL: Final = 40.0

# Each kind of fault: whom it may hit, and for how many seconds.
KINDS: Final[dict[str, tuple[Sequence[str], float, float]]] = {
    "kill": (PROCESSES, 0, 0),
    "kill_in_job": (PROCESSES, 0, 0),
    "kill_in_upload": ((f"syncer-{S3_SITE}",), 0, 0),
    "kill_both": ((ALL,), 0, 0),
    "pause": (PROCESSES, 1, 4),
    "pause_past_lease": (PROCESSES, LEASE + 1.5, LEASE + 4),
    "pause_in_job": (PROCESSES, LEASE + 1.5, LEASE + 4),
    "pause_in_publish": (NORMALIZERS, LEASE + 2, LEASE + 4),
    "stop": (PROCESSES, 0, 0),
    "stop_in_job": (NORMALIZERS, 0, 0),
    "stop_twice": (PROCESSES, 0, 0),
    "hang_child": (NORMALIZERS, 3, 6),
    "clock_jump": (("normalizer-2", *SYNCERS), 2, 5),
    "disk_full": (NORMALIZERS, 2, 4),
    "broker_restart": ((BROKER,), 0, 0),
    "broker_kill": ((BROKER,), 0, 0),
    "broker_down": ((BROKER,), 1, 4),
    "broker_silent": ((BROKER,), 2, 6),
    "broker_slow": ((BROKER,), 2, 4),
    "broker_reset": ((BROKER,), 0.5, 1),
    "rebalance_storm": ((BROKER,), 2, 4),
    "dead_letters_refused": ((BROKER,), 2, 4),
    "records_again": ((BROKER,), 0, 0),
    "status_records_again": ((BROKER,), 0, 0),
    "database_restart": (("fast", "immediate"), 0, 0),
    "connections_ended": ((ALL,), 0, 0),
    "database_down": ((*PROCESSES, ALL), 1, 5),
    "database_silent": ((*PROCESSES, ALL), 2, LEASE + 3),
    "database_slow": ((*PROCESSES, ALL), 2, 4),
    "database_narrow": (PROCESSES, 2, 4),
    "database_reset": (PROCESSES, 0.5, 1),
    "store_denied": ((*PROCESSES, ALL), 1, 4),
    "store_error": ((*PROCESSES, ALL), 1, 4),
    "store_busy": ((*PROCESSES, ALL), 1, 4),
    "store_slow": ((*PROCESSES, ALL), 2, 4),
    "store_cut": ((*PROCESSES, ALL), 1, 4),
    "store_flipped": ((*PROCESSES, ALL), 1, 4),
    "sources_absent": ((ALL,), 2, CONFIRM_ABSENCE / 2),
    "all_absent": ((*PROCESSES, ALL), 2, CONFIRM_ABSENCE + 3),
    "site_denied": ((S3_SITE,), 1, 5),
    "site_error": ((S3_SITE,), 1, 5),
    "site_busy": ((S3_SITE,), 1, 5),
    "site_slow": ((S3_SITE,), 2, 5),
    "site_silent": ((S3_SITE,), 2, 12),
    "folder_away": ((FOLDER_SITE,), 1, 5),
    "folder_read_only": ((FOLDER_SITE,), 1, 5),
}

# What only a process that may mount can do.
NEED_MOUNTS: Final = frozenset({"disk_full", "folder_away", "folder_read_only"})


@dataclass(frozen=True)
class Fault:
    """One fault: `seconds` is how long it lasts, `gap` how long after the one before it begins.

    Attributes:
        overlaps: it begins while the one before may still last.
    """

    number: int
    kind: str
    target: str
    seconds: float = 0.0
    gap: float = 0.0
    overlaps: bool = False

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.number:3d} {self.kind} {self.target}{lasts}{' (overlaps)' if self.overlaps else ''}"


def plan_faults(rng: random.Random, number: int, without: frozenset[str] = frozenset()) -> list[Fault]:
    """So many faults: each kind once, in random order, then each again."""
    faults: list[Fault] = []
    deck: list[str] = []
    while len(faults) < number:
        if not deck:
            deck = sorted(set(KINDS))
            rng.shuffle(deck)
        kind = deck.pop()
        targets, shortest, longest = KINDS[kind]
        fault = Fault(
            len(faults) + 1,
            kind,
            rng.choice(list(targets)),
            round(rng.uniform(shortest, longest), 1),
            round(rng.uniform(0.3, 1.5), 1),
            rng.random() < 0.25,
        )
        if kind not in without:
            faults.append(fault)
    return faults


@dataclass(frozen=True)
class Step:
    """One thing that the studio does. Previews are told by their number, in the order of their first upload.

    Attributes:
        previews: that it is about.
        sample: the file; None for an upload whose file never comes.
        described: the event says where the file lies, with its checksum.
        back: which of the records sent before comes again, counted from the newest.
    """

    kind: str
    previews: tuple[int, ...] = ()
    sample: str | None = None
    described: bool = True
    back: int = 0
    gap: float = 0.0

    def __str__(self) -> str:
        parts = [self.kind, ",".join(map(str, self.previews)), self.sample or ""]
        return " ".join(part for part in parts if part)


_STEPS: Final = {
    "upload": 40,
    "reupload": 12,
    "absent": 4,
    "renormalize": 14,
    "bulk": 4,
    "delete": 6,
    "again": 8,
    "swapped": 4,
    "unreadable": 3,
}


def plan_flow(rng: random.Random, pace: float = 0.5) -> Iterator[Step]:
    """Steps without end, `pace` seconds apart on average."""
    extensions: list[str] = []  # of each preview so far

    def sample(extension: str | None = None) -> str:
        if extension is None:
            extension = rng.choices(["mp4", "png"], [4, 1])[0]
        if extension == "png":
            return f"picture-{rng.randrange(4)}"
        return f"broken-{rng.randrange(2)}" if rng.random() < 0.15 else f"movie-{rng.randrange(6)}"

    while True:
        kind = rng.choices(list(_STEPS), list(_STEPS.values()))[0]
        if len(extensions) < 3:
            kind = "upload"
        # Recent previews are in work, and the likelier to be in trouble.
        recent = max(0, len(extensions) - 1 - min(int(rng.expovariate(0.15)), len(extensions)))
        gap = round(rng.uniform(0, 2 * pace), 2)
        described = rng.random() < 0.8
        match kind:
            case "upload" | "absent" | "swapped":
                chosen = sample() if kind == "upload" else f"movie-{rng.randrange(6)}"
                extensions.append("png" if chosen.startswith("picture") else "mp4")
                number = len(extensions) - 1
                yield Step(kind, (number,), None if kind == "absent" else chosen, described, gap=gap)
            case "reupload":
                yield Step(kind, (recent,), sample(extensions[recent]), described, gap=gap)
            case "bulk":
                several = sorted({rng.randrange(len(extensions)) for _ in range(4)})
                yield Step(kind, tuple(several), gap=gap)
            case "again":
                yield Step(kind, back=rng.randrange(1, 40), gap=gap)
            case "unreadable":
                yield Step(kind, gap=gap)
            case _:
                yield Step(kind, (recent,), gap=gap)
