"""The demo's uploads: small movies and pictures, good and bad, made by ffmpeg."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rushes_normalizer.media.tools import Tools
from rushes_schemas import FailureCode, PreviewStatus

_PATTERN: Final = "testsrc2=duration=2:size={size}:rate={rate}"
_TONE: Final = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=48000")
_H264: Final = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-movflags", "+faststart")


@dataclass(frozen=True)
class Expected:
    """How a preview must end; any of the codes will do."""

    status: PreviewStatus
    codes: frozenset[FailureCode] = frozenset()


@dataclass(frozen=True)
class Sample:
    """One upload. `path` of None: its event is sent, but its file never was."""

    name: str
    what: str
    extension: str
    path: Path | None
    expected: Expected | None


_READY: Final = Expected(PreviewStatus.READY)


def _broken(*codes: FailureCode) -> Expected:
    return Expected(PreviewStatus.BROKEN, frozenset(codes))


async def make_samples(tools: Tools, folder: Path, made: Callable[[str], None]) -> list[Sample]:
    """Make the demo's dozen; `made` is told each name."""
    folder.mkdir(parents=True, exist_ok=True)
    recipes: dict[str, tuple[str, Sequence[str]]] = {
        "ordinary.mp4": ("640x360, 25 fps, sound", [*_source("640x360", "25"), *_TONE, *_H264, "-c:a", "aac"]),
        "silent.mp4": ("no audio track", [*_source("640x360", "25"), *_H264]),
        "film.mov": ("23.976 fps, 10 bit ProRes", [*_source("640x360", "24000/1001"), "-c:v", "prores_ks"]),
        "portrait.mp4": ("360x640", [*_source("360x640", "30"), *_TONE, *_H264, "-c:a", "aac"]),
        "alpha.mov": (
            "transparent corners",
            [
                *_source("320x180", "24"),
                "-vf",
                "format=argb,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*gt(X,40)*gt(Y,40)'",
                "-c:v",
                "qtrle",
            ],
        ),
        "still.png": ("a picture", [*_source("800x450", "1"), "-frames:v", "1"]),
        "photo.jpg": ("a picture", [*_source("450x800", "1"), "-frames:v", "1", "-pix_fmt", "yuvj420p"]),
        "fifty.mkv": ("50 fps in Matroska", [*_source("320x180", "50"), *_H264[:6]]),
    }
    samples = []
    for name, (what, arguments) in recipes.items():
        path = folder / name
        await _ffmpeg(
            tools, [*arguments, "-shortest", str(path)] if "sine" in str(arguments) else [*arguments, str(path)]
        )
        samples.append(Sample(name, what, path.suffix[1:], path, _READY))
        made(name)
    whole = (folder / "ordinary.mp4").read_bytes()
    bad = {
        "truncated.mp4": ("cut off half way", whole[: len(whole) // 2], _broken(FailureCode.CORRUPT)),
        "empty.mp4": ("0 bytes", b"", _broken(FailureCode.SOURCE_EMPTY)),
        "notes.mp4": ("a text file", b"Shot 010: more smoke.\n" * 20, _broken(FailureCode.NOT_A_MOVIE)),
    }
    for name, (what, content, expected) in bad.items():
        path = folder / name
        path.write_bytes(content)
        samples.append(Sample(name, what, "mp4", path, expected))
    missing = Expected(PreviewStatus.MISSING, frozenset({FailureCode.SOURCE_MISSING}))
    return [*samples, Sample("forgotten.mp4", "never uploaded", "mp4", None, missing)]


def own_files(folder: Path) -> list[Sample]:
    """The files of a folder, each to end as it may.

    Raises:
        ValueError: no such folder, or nothing in it.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    files = [path for path in files if not path.name.startswith(".") and path.suffix]
    if not files:
        msg = f"no files in the folder {folder}: give one that holds movies or pictures, MOVIES=folder"
        raise ValueError(msg)
    return [
        Sample(path.name, f"{path.stat().st_size / 1e6:.1f} MB", path.suffix[1:].lower(), path, None) for path in files
    ]


def _source(size: str, rate: str) -> list[str]:
    return ["-f", "lavfi", "-i", _PATTERN.format(size=size, rate=rate)]


async def _ffmpeg(tools: Tools, arguments: Sequence[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        tools.ffmpeg,
        *("-nostdin", "-v", "error", "-y", *arguments),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        msg = f"ffmpeg could not make {arguments[-1]}: {said.decode(errors='replace')}"
        raise RuntimeError(msg)
