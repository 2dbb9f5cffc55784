"""Two slots against one: `make bench-slots`.

A batch of short movies, each a whole job of the media engine (probe, encode, pictures, verification), encoders with one
thread each (`FFMPEG_THREADS=1`): one at a time, then two at a time as a worker with `SLOTS=2` runs them.

speedup: wall time of one slot over that of two, the median of the rounds. At most 2 can be had on two cores; at least
1.8 is wanted. ffmpeg decodes, scales and encodes in threads of their own, whatever `-threads` says, so the one slot is
held to one core: that is what one thread can do.

speedup_of_free_slot: the same where the one slot may use both cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.make import make_movie
from rushes_normalizer.media.tools import Tools, find_tools
from rushes_schemas import Encoding

from tests.bench.footage import CLIPS, make_clip
from tests.bench.saying import say
from tests.bench.spent import cpu_seconds


def measure(movies: int, seconds: float, rounds: int) -> dict[str, Any]:
    """All figures; the arrangements take turns within a round.

    Raises:
        RuntimeError: fewer than two cores are free to be used.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        msg = "two cores are needed"
        raise RuntimeError(msg)
    arrangements = {"one": (1, {cores[0]}), "free": (1, set(cores)), "two": (2, set(cores))}
    tools = find_tools()
    walls: dict[str, list[float]] = {name: [] for name in arrangements}
    cpu: dict[str, list[float]] = {name: [] for name in arrangements}
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as name:
        folder = Path(name)
        source = folder / "source.mp4"
        say("making the source")
        make_clip(tools, CLIPS["h264-1080p"], source, seconds)
        for number in range(rounds):
            for arrangement, (slots, on) in arrangements.items():
                began, spent = time.perf_counter(), cpu_seconds()
                asyncio.run(_batch(tools, source, folder, movies, slots, on))
                walls[arrangement].append(time.perf_counter() - began)
                cpu[arrangement].append(cpu_seconds() - spent)
                say(f"round {number + 1}: {arrangement}: {walls[arrangement][-1]:.1f} s")
    return {
        "speedup": _ratio(walls["one"], walls["two"]),
        "speedup_of_free_slot": _ratio(walls["free"], walls["two"]),
        "wall_seconds": {name: round(statistics.median(each), 2) for name, each in walls.items()},
        "cpu_seconds": {name: round(statistics.median(each), 2) for name, each in cpu.items()},
        "movies": movies,
        "seconds": seconds,
        "rounds": rounds,
    }


async def _batch(tools: Tools, source: Path, folder: Path, movies: int, slots: int, cores: Set[int]) -> None:
    """All movies, `slots` at a time; the children inherit the cores."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    free = asyncio.Semaphore(slots)
    try:
        async with asyncio.TaskGroup() as jobs:
            for _ in range(movies):
                jobs.create_task(_job(tools, source, folder, free))
    finally:
        os.sched_setaffinity(0, allowed)


async def _job(tools: Tools, source: Path, folder: Path, free: asyncio.Semaphore) -> None:
    async with free:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            await make_movie(
                tools,
                source,
                Path(scratch),
                encoding=Encoding(),
                defaults=EncodingDefaults(),
                limits=Limits(threads=1),
                progress=lambda stage, share: None,
            )


def _ratio(slower: Sequence[float], faster: Sequence[float]) -> float:
    return round(statistics.median(one / two for one, two in zip(slower, faster, strict=True)), 2)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movies", type=int, default=6, help="in the batch (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="length of each, 1080p (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; the median counts (%(default)s)")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.movies, arguments.seconds, arguments.rounds)))


if __name__ == "__main__":
    main()
