"""CPU seconds against VMAF, SSIM and banding of encoder settings: `make bench-encoders`.

Each candidate encodes the same bare frames to high and to low definition (`candidates.py`): photographs in motion with
grain for CPU, VMAF and SSIM, and a dark gradient for banding (CAMBI). Low definition is judged enlarged to 1920 x 1080.
`--picture` draws docs/media-encoders.svg, `--table` prints the rows of docs/encoder-choice.md.

The last line is JSON: a row for each candidate and definition. CPU is the least of the rounds: what else the machine
does only adds to it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from rushes_normalizer.media.tools import Tools, find_tools

from tests.bench.candidates import (
    CANDIDATES,
    FRAMES_RATE,
    FRAMES_SIZE,
    Candidate,
    Definition,
    bare,
    encode,
    zou_and_ours,
)
from tests.bench.encoder_chart import Mark, draw
from tests.bench.footage import make_dark_frames, make_moving_frames
from tests.bench.quality import Frames, Quality, measure_quality
from tests.bench.saying import say


@dataclass(frozen=True)
class Trial:
    """One row.

    Attributes:
        cpu_seconds: for a second of movie.
        megabits: a second, of the moving photographs.
        vmaf: of the moving photographs.
        ssim: of the moving photographs.
        cambi: of the dark gradient.
    """

    definition: Definition
    candidate: str
    cpu_seconds: float
    megabits: float
    vmaf: float
    ssim: float
    cambi: float


def measure(seconds: float, rounds: int) -> list[Trial]:
    """All candidates in both definitions."""
    tools = find_tools()
    trials = []
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as name:
        folder = Path(name)
        moving, dark = folder / "moving.yuv", folder / "dark.yuv"
        make_moving_frames(tools, moving, seconds)
        make_dark_frames(dark, seconds / 2)
        for definition, candidates in CANDIDATES.items():
            for candidate in candidates:
                trials.append(_trial(tools, candidate, definition, moving, dark, folder, seconds, rounds))
                say(f"{definition}: {trials[-1]}")
    return trials


def _trial(
    tools: Tools,
    candidate: Candidate,
    definition: Definition,
    moving: Path,
    dark: Path,
    folder: Path,
    seconds: float,
    rounds: int,
) -> Trial:
    movie = folder / "encoded.mp4"
    encode(tools, candidate, definition, dark, movie)
    banding = _quality(tools, movie, dark).cambi
    cpu = min(encode(tools, candidate, definition, moving, movie) for _ in range(rounds))
    quality = _quality(tools, movie, moving)
    return Trial(
        definition=definition,
        candidate=candidate.name,
        cpu_seconds=round(cpu / seconds, 3),
        megabits=round(movie.stat().st_size * 8 / seconds / 1e6, 2),
        vmaf=round(quality.vmaf, 2),
        ssim=round(quality.ssim, 4),
        cambi=round(banding, 2),
    )


def _quality(tools: Tools, movie: Path, frames: Path) -> Quality:
    width, height = FRAMES_SIZE
    reference = Frames(frames, bare(FRAMES_SIZE))
    return measure_quality(tools, Frames(movie), reference, width=width, height=height, rate=FRAMES_RATE)


def _table(trials: list[Trial]) -> str:
    head = ["| definition | x264 | CPU s | Mbit/s | VMAF | SSIM | CAMBI, dark |", "| --- " * 7 + "|"]
    rows = [
        f"| {row.definition} | {row.candidate} | {row.cpu_seconds:.2f} | {row.megabits:.1f} "
        f"| {row.vmaf:.2f} | {row.ssim:.4f} | {row.cambi:.2f} |"
        for row in trials
    ]
    return "\n".join([*head, *rows])


def _marks(trials: list[Trial]) -> list[Mark]:
    named = zou_and_ours()
    return [
        Mark(
            panel=f"{row.definition} definition",
            label=row.candidate,
            emphasis=named.get((row.definition, row.candidate), ""),
            cpu_seconds=row.cpu_seconds,
            values={"VMAF": row.vmaf, "SSIM": row.ssim, "CAMBI of a dark gradient (less is better)": row.cambi},
        )
        for row in trials
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="length of the moving clip (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="encodes of each; the least CPU counts (%(default)s)")
    parser.add_argument("--picture", type=Path, help="draw an SVG here")
    parser.add_argument("--table", action="store_true", help="print the rows in Markdown first")
    arguments = parser.parse_args()
    trials = measure(arguments.seconds, arguments.rounds)
    if arguments.picture:
        arguments.picture.write_text(draw(_marks(trials)), encoding="utf-8")
    if arguments.table:
        print(_table(trials))
    print(json.dumps([asdict(trial) for trial in trials]))


if __name__ == "__main__":
    main()
