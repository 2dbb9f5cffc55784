"""Four pictures of one of 100 megapixels, by the product's child (libvips) and by Pillow: `make bench-pictures`.

Each runs in a process of its own, in turns, on the same PNG and JPEG (soft shapes under grain, as photographs have),
with one thread. cpu_seconds and peak_rss_mb are those of the process, its start included; original_mb is the size of
the PNG of full size. The last line is one JSON object, with the medians of all turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.saying import say

_TREE: Final = Path(__file__).parents[2]
_CHILD: Final = _TREE / "services/normalizer/src/rushes_normalizer/picture_child"
_THIS: Final = "tests.bench.pictures"
_PILLOW_LEVEL: Final = 3  # of zlib: its PNG is as large as that of libvips to within 1 %


def measure(side: int, rounds: int) -> dict[str, Any]:
    """The medians of each program and format."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as name:
        folder = Path(name)
        say(f"making pictures of {side}x{side}")
        _run(["-m", _THIS, "--make", str(folder), "--side", str(side)], folder)
        for turn in range(rounds):
            for extension in ("png", "jpg"):
                source = folder / f"source.{extension}"
                for program, arguments in (
                    ("libvips", ["-I", str(_CHILD), json.dumps(_task(source))]),
                    ("pillow", ["-m", _THIS, "--pillow", str(source)]),
                ):
                    say(f"turn {turn + 1}: {program} on {extension}")
                    spent = _run(arguments, folder)
                    spent["original_mb"] = (folder / "original.png").stat().st_size / 1e6
                    found.setdefault((program, extension), []).append(spent)
    answer: dict[str, Any] = {"megapixels": side * side / 1e6}
    for (program, extension), turns in found.items():
        medians = {key: round(statistics.median(turn[key] for turn in turns), 1) for key in turns[0]}
        answer.setdefault(program, {})[extension] = medians
    return answer


def _run(arguments: Sequence[str], folder: Path) -> dict[str, float]:
    """Run this Python; what that process alone has cost."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_TREE), os.environ.get("PYTHONPATH", "")])}
    child = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, arguments
    return {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_rss_mb": usage.ru_maxrss / 1024}


def _task(source: Path) -> dict[str, Any]:
    """What `media/uploaded_picture.py` would ask for."""
    return {
        "source": str(source),
        "max_pixels": 10**9,
        "max_side": 10**5,
        "max_memory": 8 * 2**30,
        "threads": 1,
        "original": "original.png",
        "scaled": ("preview.png", 1200),
        "fitted": {"thumbnail.png": (150, 100), "square.png": (100, 100)},
    }


def draw_with_pillow(source: Path) -> None:
    """The same four pictures."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - the process that measures stays small

    Image.MAX_IMAGE_PIXELS = None
    with Image.open(source) as opened:
        image = ImageOps.exif_transpose(opened)
    image.convert("RGBA").save("original.png", compress_level=_PILLOW_LEVEL)
    height = round(1200 * image.height / image.width)
    image.resize((1200, height), Image.Resampling.LANCZOS, reducing_gap=2).convert("RGBA").save("preview.png")
    for name, box in (("thumbnail.png", (150, 100)), ("square.png", (100, 100))):
        small = ImageOps.contain(image, box).convert("RGBA")
        ImageOps.pad(small, box, color=(0, 0, 0, 0)).save(name)


def make_sources(folder: Path, side: int) -> None:
    """A PNG and a JPEG of the same picture."""
    import numpy as np  # noqa: PLC0415 - the process that measures stays small
    import pyvips  # noqa: PLC0415 - the same

    cells = np.random.default_rng(3).integers(0, 255, (side // 80, side // 80, 3), dtype=np.uint8)
    shapes = pyvips.Image.new_from_array(cells).resize(80)
    grained = (shapes + pyvips.Image.gaussnoise(shapes.width, shapes.height, sigma=4)).cast("uchar")
    image = grained.copy(interpretation="srgb").copy_memory()
    image.pngsave(str(folder / "source.png"), compression=3, filter="all")
    image.jpegsave(str(folder / "source.jpg"), Q=90)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=10_000, help="pixels of each side (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; the medians count (%(default)s)")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pillow", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make_sources(arguments.make, arguments.side)
    elif arguments.pillow:
        draw_with_pillow(arguments.pillow)
    else:
        print(json.dumps(measure(arguments.side, arguments.rounds)))


if __name__ == "__main__":
    main()
