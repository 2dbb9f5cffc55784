"""Zou and Rushes make a preview of one movie, each in a new process, and say what it cost."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.make import make_movie
from rushes_normalizer.media.tools import Tools
from rushes_schemas import Encoding

from tests.bench.peer_environment import peer_python
from tests.bench.spent import cpu_seconds, peak_child_bytes

WIDTH: Final = 1920
HEIGHT: Final = 1080
RATE: Final = 25
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Preview:
    """What one contender made of a movie.

    Attributes:
        cpu_seconds: user and system time of its calls and all their children; not of starting Python.
        peak_rss_bytes: of its largest child.
        files: path of each output, by kind.
    """

    cpu_seconds: float
    peak_rss_bytes: int
    files: Mapping[str, Path]


def run_zou(tools: Tools, source: Path, folder: Path) -> Preview:
    """With the same ffmpeg and ffprobe on its PATH, in a folder of its own, on a copy: it may write to its source."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (programs / "ffmpeg").symlink_to(tools.ffmpeg)
    (programs / "ffprobe").symlink_to(tools.ffprobe)
    # Zou's uploads are called so, and it cuts eight characters off the name.
    copy = folder / f"upload{source.suffix}.tmp"
    shutil.copyfile(source, copy)
    ran = subprocess.run(
        [peer_python(), "-m", "tests.bench.zou_run", copy],
        cwd=_ROOT,
        env={"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        msg = f"Zou failed: {ran.stderr[-2000:]}"
        raise RuntimeError(msg)
    answer = json.loads(ran.stdout.splitlines()[-1])
    files = {kind: Path(path) for kind, path in answer["files"].items()}
    return Preview(answer["cpu_seconds"], answer["peak_rss_bytes"], files)


def run_rushes(tools: Tools, source: Path, folder: Path) -> Preview:
    """The whole of `make_movie`: probing, all outputs, verification."""
    folder.mkdir(parents=True)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_make, tools, source, folder).result()


def _make(tools: Tools, source: Path, folder: Path) -> Preview:
    before = cpu_seconds()
    made = asyncio.run(
        make_movie(
            tools,
            source,
            folder,
            encoding=Encoding(width=WIDTH, height=HEIGHT),
            defaults=EncodingDefaults(fps=Fraction(RATE)),
            limits=Limits(),
            progress=lambda stage, share: None,
        )
    )
    cpu = cpu_seconds() - before
    return Preview(cpu, peak_child_bytes(), {output.kind.value: output.path for output in made.outputs})
