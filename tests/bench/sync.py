"""`rushes-syncer full` against rclone: the same objects between the same stores, in turns, the best of each.

Small and large objects go from S3 to S3 and from S3 to a folder; then a pass that finds nothing to do. One S3 server
holds both sides. It has two names for both contenders, so that neither lets the server copy by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rushes_embedded.stack import Stack
from rushes_runtime.logs import configure_logs

from tests.bench.saying import say
from tests.bench.sync_contenders import Contender, Ran, Rclone, Rushes, find_rclone
from tests.bench.sync_stage import Shape, Stage

_WORKERS: Final = {"small": 32, "large": 8, "idle": 32}


def _best(runs: list[Ran]) -> Ran:
    return min(runs, key=lambda ran: ran.seconds)


class Bench:
    """Runs of both contenders, and what they came to."""

    def __init__(self, stage: Stage, rounds: int) -> None:
        self._stage = stage
        self._rounds = rounds
        self.runs: dict[str, dict[str, list[Ran]]] = {}
        self.rss: dict[str, float] = {}

    def copies(self, case: str, shape: Shape, kind: str) -> None:
        """Copy all objects of a shape to an empty site, by each in turn."""
        for number, contender in self._turns(_WORKERS[case.partition("_")[0]]):
            with self._stage.site(kind, f"{case.replace('_', '-')}-{contender.name}-{number}") as site:
                ran = contender.run(self._stage, shape, site)
                there = asyncio.run(self._stage.count(shape, site))
                assert there == shape.totals(), f"{contender.name} left {there} at the site, not {shape.totals()}"
            self._note(case, number, contender, ran)

    def nothing_to_do(self, case: str, shape: Shape) -> None:
        """Fill a site for each, then let each find that nothing is to be done, in turn."""
        name = case.replace("_", "-")
        with self._stage.site("s3", f"{name}-rushes") as ours, self._stage.site("s3", f"{name}-rclone") as theirs:
            sites = {"rushes": ours, "rclone": theirs}
            for _, contender in self._turns(_WORKERS["idle"], rounds=1):
                ran = contender.run(self._stage, shape, sites[contender.name])
                say(f"{case}: {contender.name} filled its site in {ran.seconds:.1f} s, {ran.peak_rss_mb} MB")
                if contender.name == "rushes":
                    self.rss[f"{case}_filling"] = ran.peak_rss_mb
            for number, contender in self._turns(_WORKERS["idle"]):
                self._note(case, number, contender, contender.run(self._stage, shape, sites[contender.name]))

    def _turns(self, workers: int, rounds: int | None = None) -> Iterator[tuple[int, Contender]]:
        contenders: list[Contender] = [Rushes(workers), Rclone(workers)]
        for number in range(1, (rounds or self._rounds) + 1):
            for contender in contenders if number % 2 else reversed(contenders):
                yield number, contender

    def _note(self, case: str, number: int, contender: Contender, ran: Ran) -> None:
        self.runs.setdefault(case, {}).setdefault(contender.name, []).append(ran)
        say(
            f"{case}, round {number}: {contender.name} {ran.seconds:.2f} s, {ran.cpu_seconds:.1f} s CPU "
            f"(servers {ran.server_cpu_seconds:.1f} s), "
            f"{ran.peak_rss_mb} MB"
        )

    def figures(self) -> dict[str, Any]:
        """As JSON has them: rclone's seconds by ours, and the most memory that ours took."""
        figures: dict[str, Any] = {
            f"{case}_ratio": round(_best(of["rclone"]).seconds / _best(of["rushes"]).seconds, 3)
            for case, of in self.runs.items()
        }
        ours = [ran.peak_rss_mb for of in self.runs.values() for ran in of["rushes"]]
        figures["peak_rss_mb"] = max([*ours, *self.rss.values()])
        figures["peak_rss_mb_by_case"] = {
            **{case: max(ran.peak_rss_mb for ran in of["rushes"]) for case, of in self.runs.items()},
            **self.rss,
        }
        figures["seconds"] = {
            case: {name: [round(ran.seconds, 2) for ran in runs] for name, runs in of.items()}
            for case, of in self.runs.items()
        }
        figures["cpu_seconds_and_servers"] = {
            case: {
                name: [round(_best(runs).cpu_seconds, 1), round(_best(runs).server_cpu_seconds, 1)]
                for name, runs in of.items()
            }
            for case, of in self.runs.items()
        }
        return figures


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run what was asked for; the figures as JSON has them."""
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder, Stack(Path(folder)) as stack:
        stage = Stage(stack, Path(folder))
        bench = Bench(stage, arguments.rounds)
        if "small" in arguments.only:
            shape = Shape.pictures("small", arguments.objects, 20_000)
            with stage.filled(shape):
                bench.copies("small", shape, "s3")
                bench.copies("small_local", shape, "local")
        if "large" in arguments.only:
            shape = Shape.movies("large", arguments.large, arguments.large_megabytes << 20)
            with stage.filled(shape):
                bench.copies("large", shape, "s3")
                bench.copies("large_local", shape, "local")
        if "idle" in arguments.only:
            for case, previews in (("idle_few", arguments.previews // 8), ("idle", arguments.previews)):
                shape = Shape.previews(case.replace("_", "-"), previews)
                with stage.filled(shape):
                    bench.nothing_to_do(case, shape)
        figures = bench.figures()
    figures |= {name: value for name, value in vars(arguments).items() if name != "only"}
    figures["rclone"] = find_rclone()
    return figures


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=20_000, help="small objects, of 20 kB (%(default)s)")
    parser.add_argument("--large", type=int, default=8, help="large objects (%(default)s)")
    parser.add_argument("--large-megabytes", type=int, default=512, help="of each (%(default)s)")
    parser.add_argument("--previews", type=int, default=10_000, help="with nothing to do, 8 objects each (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=["small", "large", "idle"], default=["small", "large", "idle"])
    arguments = parser.parse_args()
    configure_logs("warning", "text")
    print(json.dumps(measure(arguments)))


if __name__ == "__main__":
    main()
