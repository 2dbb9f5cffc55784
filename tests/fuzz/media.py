"""Damaged movies and pictures: each must end in `ready` or in a failure code: `make fuzz-media`.

hung: took longer than `--seconds` for one file. crashed: ended by anything but a `MediaError`. undecided: ended by a
failure code that says nothing of the file, so that a worker would try it again. All three must be 0.

ready_truncated: files that were cut off and yet became `ready` with fewer frames than the whole one has, or with
another picture. Told, not judged: a broadcast stream that is cut exactly between two frames does not say how long it
should be.

The same seed makes the same files. Those that misbehave are kept, with the command that repeats each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.make import Made, make_movie, make_picture
from rushes_schemas.encoding import Encoding
from rushes_schemas.failures import FAILURES
from rushes_schemas.outputs import ObjectKind

from tests.bench.saying import say
from tests.fuzz.damage import ways_for
from tests.fuzz.sources import FRAMES, Whole, make_sources
from tests.movies import of, tools

_GIBIBYTE: Final = 1024**3
_DEFAULTS: Final = EncodingDefaults(height=48, lowdef_width=64, highdef_bitrate="1M", lowdef_bitrate="1M")
_LIMITS: Final = Limits(max_frames=2000, max_memory_bytes=2 * _GIBIBYTE, max_output_bytes=_GIBIBYTE, threads=1)


@dataclass(frozen=True)
class Damaged:
    """One file to try."""

    number: int
    whole: Whole
    way: str
    content: bytes

    @property
    def label(self) -> str:
        """Says which file it is."""
        return f"{self.number:05d}-{self.way.replace(' ', '-')}-{self.whole.name}"


@dataclass(frozen=True)
class Ending:
    """What became of a file: `ready`, a failure code, `hung` or `crashed`, and what was said or seen of it."""

    outcome: str
    said: str = ""
    undecided: bool = False
    shortened: bool = False

    @property
    def misbehaved(self) -> bool:
        """Whether the file is to be kept."""
        return self.outcome in ("hung", "crashed") or self.undecided or self.shortened


def damaged(wholes: Sequence[Whole], seed: int, number: int) -> Damaged:
    """File `number` of a seed: the sources take turns, the rest is drawn."""
    chance = random.Random(f"{seed}/{number}")
    whole = wholes[number % len(wholes)]
    ways = ways_for(whole.name)
    way = chance.choice(sorted(ways))
    return Damaged(number, whole, way, ways[way](whole.content, chance))


async def try_one(file: Damaged, folder: Path, seconds: float, whole_picture: bytes | None) -> Ending:
    """Put a file through the media engine.

    Args:
        whole_picture: of a picture, the original that is made of the whole one.
    """
    source = folder / file.label
    source.write_bytes(file.content)
    scratch = folder / f"{file.number}.scratch"
    scratch.mkdir()
    try:
        async with asyncio.timeout(seconds):
            made = await _make(file, source, scratch)
        lost = made.facts.frame_count < FRAMES if whole_picture is None else _original(made) != whole_picture
    except TimeoutError:
        return Ending("hung", f"no end after {seconds:g} s")
    except MediaError as error:
        return Ending(error.code.value, error.message, undecided=FAILURES[error.code].transient)
    except Exception as error:  # any other end is what is looked for
        return Ending("crashed", f"{type(error).__name__}: {error}")
    finally:
        shutil.rmtree(scratch)
        source.unlink()
    shortened = lost and file.way.startswith("truncate")
    return Ending("ready", f"{made.facts.frame_count} frames", shortened=shortened)


async def make_originals(wholes: Sequence[Whole], folder: Path) -> dict[str, bytes]:
    """The original pictures of the whole ones, by name."""
    originals = {}
    for whole in wholes:
        if whole.is_picture:
            scratch = folder / f"{whole.name}.scratch"
            scratch.mkdir()
            made = await _make(Damaged(0, whole, "none", whole.content), folder / whole.name, scratch)
            originals[whole.name] = _original(made)
    return originals


def _original(made: Made) -> bytes:
    return of(made, ObjectKind.ORIGINAL).read_bytes()


async def _make(file: Damaged, source: Path, scratch: Path) -> Made:
    if file.whole.is_picture:
        return await make_picture(
            source, scratch, keep_original=False, limits=_LIMITS, progress=lambda _stage, _fraction: None
        )
    return await make_movie(
        tools(),
        source,
        scratch,
        encoding=Encoding(),
        defaults=_DEFAULTS,
        limits=_LIMITS,
        progress=lambda _stage, _fraction: None,
    )


async def fuzz(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Try all files, some at a time; the figures as JSON has them."""
    wholes = make_sources(folder)
    originals = await make_originals(wholes, folder)
    numbers = iter([arguments.only] if arguments.only is not None else range(arguments.files))
    outcomes: Counter[str] = Counter()
    undecided = 0
    shortened: list[str] = []
    kept: Path = arguments.keep

    async def work() -> None:
        nonlocal undecided
        for number in numbers:
            file = damaged(wholes, arguments.seed, number)
            ending = await try_one(file, folder, arguments.seconds, originals.get(file.whole.name))
            outcomes[ending.outcome] += 1
            undecided += ending.undecided
            if ending.shortened:
                shortened.append(file.label)
            if ending.misbehaved:
                kept.mkdir(parents=True, exist_ok=True)
                (kept / file.label).write_bytes(file.content)
                say(f"{file.label}: {ending.outcome}: {ending.said}")
                say(f"  again: python -m tests.fuzz.media --seed {arguments.seed} --only {number}")
            elif arguments.only is not None:
                say(f"{file.label}: {ending.outcome}: {ending.said}")
            if outcomes.total() % 100 == 0:
                say(f"{outcomes.total()} of {arguments.files} files: {dict(outcomes.most_common())}")

    async with asyncio.TaskGroup() as group:
        for _ in range(arguments.at_once):
            group.create_task(work())
    return {
        "files": outcomes.total(),
        "hung": outcomes["hung"],
        "crashed": outcomes["crashed"],
        "undecided": undecided,
        "ready_truncated": sorted(shortened),
        "outcomes": dict(outcomes.most_common()),
        "seed": arguments.seed,
    }


def main() -> None:
    """The command line; ends with 1 where a file hung, crashed or stayed undecided."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="how many to try (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="says which files (%(default)s)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="try this file of the seed alone")
    parser.add_argument("--at-once", type=int, default=2, help="how many at a time (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="bound of one file's time (%(default)s)")
    parser.add_argument("--keep", type=Path, default=Path(".rushes/fuzz"), help="misbehaving files (%(default)s)")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rushes-fuzz-") as folder:
        figures = asyncio.run(fuzz(arguments, Path(folder)))
    say(f"took {time.monotonic() - began:.0f} s")
    print(json.dumps(figures))
    sys.exit(1 if figures["hung"] or figures["crashed"] or figures["undecided"] else 0)


if __name__ == "__main__":
    main()
