"""A job's wall time against bare ffmpeg, and the services' memory: `make bench-pipeline`.

overhead_ratio: the median wall time of a whole job (claim, probe, encode, pictures, verification, database), less the
time that it waits for the store, over the median time of the very ffmpeg command that it runs, for the same movie, in
turns. At most 1.10 is wanted.

peak_rss_mb: VmHWM of rushes-normalizer and rushes-syncer, started as production starts them, after movies of all sizes
went through both. At most 150 each is wanted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from rushes_runtime.logs import configure_logs

from tests.bench.memory import measure_memory
from tests.bench.overhead import measure_overhead


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures that were asked for."""
    answer: dict[str, Any] = {}
    if arguments.only != "memory":
        answer |= await measure_overhead(arguments.seconds, arguments.rounds)
    if arguments.only != "overhead":
        answer |= await measure_memory(arguments.megabytes)
    return answer


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=24, help="length of the movie, 1080p at 24 fps (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each; the medians count (%(default)s)")
    parser.add_argument(
        "--megabytes",
        type=int,
        nargs="+",
        default=[1, 10, 50, 100, 500, 500],
        help="sizes of the movies that go through the services (%(default)s)",
    )
    parser.add_argument("--only", choices=["overhead", "memory"], help="measure only this")
    arguments = parser.parse_args()
    configure_logs("warning", "text")
    print(json.dumps(asyncio.run(measure(arguments))))


if __name__ == "__main__":
    main()
