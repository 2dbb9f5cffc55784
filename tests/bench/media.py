"""Rushes against Zou on the same movies, with the same ffmpeg, in the same run: `make bench-media`.

Sources are photographs in motion with grain (`footage.py`). Both make 28 Mbit/s at 1920 x 1080 and 6 Mbit/s at
1280 x 720, 25 frames a second, a picture of the first frame and a contact sheet; Rushes also makes the three smaller
pictures, probes and verifies. Zou is installed from its package (`peer_environment.py`).

cpu_ratio_vs_zou_median: our seconds of CPU, children and all, over Zou's: the median of the sources. At most 0.40 is
wanted; 0.33 is the goal.

vmaf_loss_max: Zou's VMAF less ours, the worst source and definition; both against the source at 1920 x 1080, the low
definition enlarged as a player does. At most 0.5 is wanted.

bytes_ratio_max: our bytes over Zou's, of the four outputs that both make, the worst source. At most 1.05 is wanted.

peak_rss_mb: resident memory of our largest child, in MB of 2^20 bytes, the worst source.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rushes_normalizer.media.tools import Tools, find_tools

from tests.bench.contenders import HEIGHT, RATE, WIDTH, Preview, run_rushes, run_zou
from tests.bench.footage import CLIPS, make_clip
from tests.bench.peer_environment import ZOU
from tests.bench.quality import Frames, measure_quality
from tests.bench.saying import say

_MEBIBYTE: Final = 1024**2
_CONTENDERS: Final[Mapping[str, Callable[[Tools, Path, Path], Preview]]] = {"zou": run_zou, "rushes": run_rushes}
_DEFINITIONS: Final = ("high_definition", "low_definition")
# What both make.
_COMPARED: Final = (*_DEFINITIONS, "original", "tile")


def measure(sources: Sequence[str], seconds: float | None, rounds: int) -> dict[str, Any]:
    """All figures; the contenders take turns within a round."""
    tools = find_tools()
    by_source = {}
    for name in sources:
        with tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder:
            by_source[name] = _measure_source(tools, name, Path(folder), seconds, rounds)
    return {**_overall(by_source), "sources": by_source, "rounds": rounds, "zou": ZOU, "ffmpeg": tools.ffmpeg_version}


def _measure_source(tools: Tools, name: str, folder: Path, seconds: float | None, rounds: int) -> dict[str, Any]:
    clip = CLIPS[name]
    source = folder / f"{name}{clip.suffix}"
    say(f"{name}: making the source")
    make_clip(tools, clip, source, seconds or clip.seconds)
    previews: dict[str, list[Preview]] = {contender: [] for contender in _CONTENDERS}
    for number in range(rounds):
        for contender, run in _CONTENDERS.items():
            preview = run(tools, source, folder / f"{contender}-{number}")
            previews[contender].append(preview)
            say(f"{name}: round {number + 1}: {contender} took {preview.cpu_seconds:.1f} s of CPU")
    figures = {contender: _figures(tools, source, made) for contender, made in previews.items()}
    zou, rushes = figures["zou"], figures["rushes"]
    return {
        "cpu_ratio": round(rushes["cpu_seconds"] / zou["cpu_seconds"], 3),
        "vmaf_loss": {of: round(zou[of]["vmaf"] - rushes[of]["vmaf"], 2) for of in _DEFINITIONS},
        "bytes_ratio": round(_compared_bytes(rushes) / _compared_bytes(zou), 3),
        "source_bytes": source.stat().st_size,
        **figures,
    }


def _figures(tools: Tools, source: Path, rounds: Sequence[Preview]) -> dict[str, Any]:
    last = rounds[-1]
    figures: dict[str, Any] = {
        "cpu_seconds": round(statistics.median(preview.cpu_seconds for preview in rounds), 2),
        "peak_rss_mb": round(max(preview.peak_rss_bytes for preview in rounds) / _MEBIBYTE, 1),
        "bytes": {kind: path.stat().st_size for kind, path in last.files.items()},
    }
    for definition in _DEFINITIONS:
        movie = Frames(last.files[definition])
        quality = measure_quality(tools, movie, Frames(source), width=WIDTH, height=HEIGHT, rate=RATE)
        figures[definition] = {key: round(value, 4) for key, value in asdict(quality).items()}
    return figures


def _compared_bytes(figures: Mapping[str, Any]) -> int:
    return sum(figures["bytes"][kind] for kind in _COMPARED)


def _overall(by_source: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    sources = by_source.values()
    return {
        "cpu_ratio_vs_zou_median": round(statistics.median(source["cpu_ratio"] for source in sources), 3),
        "vmaf_loss_max": max(loss for source in sources for loss in source["vmaf_loss"].values()),
        "bytes_ratio_max": max(source["bytes_ratio"] for source in sources),
        "peak_rss_mb": max(source["rushes"]["peak_rss_mb"] for source in sources),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", nargs="+", choices=list(CLIPS), default=list(CLIPS), help="(all)")
    parser.add_argument("--seconds", type=float, help="length of each source (4 to 10, each its own)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; median CPU counts (%(default)s)")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.sources, arguments.seconds, arguments.rounds)))


if __name__ == "__main__":
    main()
