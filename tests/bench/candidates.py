"""The encoder settings that are compared, and one trial of one of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from rushes_normalizer.media.plan import AMPLE, SEEKABLE, SPARSE
from rushes_normalizer.media.tools import Tools

from tests.bench.spent import cpu_seconds


class Definition(StrEnum):
    """Which of the two movies."""

    HIGH = "high"
    LOW = "low"


# Width, height, bits a second: Zou's and our defaults.
OUTPUTS: Final = {Definition.HIGH: (1920, 1080, 28_000_000), Definition.LOW: (1280, 720, 6_000_000)}
FRAMES_SIZE: Final = (1920, 1080)
FRAMES_RATE: Final = 25


@dataclass(frozen=True)
class Candidate:
    """One way to encode.

    Attributes:
        preset: of x264.
        parameters: of x264, beside `keyint=2:scenecut=0`.
        scaler: flags of ffmpeg's scaler; high definition is not scaled here.
    """

    preset: str
    parameters: str = ""
    scaler: str = "bicubic"

    @property
    def name(self) -> str:
        """Such as `superfast aq-mode=0`."""
        parts = [self.preset, *self.parameters.split(":")]
        parts += [f"scaler {self.scaler}"] if self.scaler != "bicubic" else []
        return " ".join(part for part in parts if part)


_ZOU: Final = Candidate("medium")
_OURS: Final = {
    Definition.HIGH: Candidate(AMPLE.preset.value, AMPLE.parameters),
    Definition.LOW: Candidate(SPARSE.preset.value, SPARSE.parameters),
}
_FLAT: Final = "bframes=0:weightp=0:aq-mode=0:rc-lookahead=10"
_BOTH: Final = (
    _ZOU,
    *(Candidate(preset) for preset in ("veryfast", "superfast", "ultrafast")),
    Candidate("superfast", _FLAT),
    Candidate("superfast", f"{_FLAT}:trellis=1:deblock=-2,-2"),
    Candidate("superfast", f"{_FLAT}:subme=6"),
    *_OURS.values(),
    *(Candidate("superfast", f"{SPARSE.parameters}:{more}") for more in ("cabac=0", "keyint=1")),
    Candidate("superfast", SPARSE.parameters.replace("aq-mode=0", "aq-strength=0.5")),
)
_SCALERS: Final = ("fast_bilinear", "lanczos")
CANDIDATES: Final[Mapping[Definition, tuple[Candidate, ...]]] = {
    Definition.HIGH: _BOTH,
    Definition.LOW: (*_BOTH, *(replace(_OURS[Definition.LOW], scaler=scaler) for scaler in _SCALERS)),
}


def zou_and_ours() -> dict[tuple[Definition, str], str]:
    """Whose choice a candidate is."""
    return {
        (definition, candidate.name): whose
        for definition in Definition
        for candidate, whose in ((_ZOU, "Zou"), (_OURS[definition], "Rushes"))
    }


def encode(tools: Tools, candidate: Candidate, definition: Definition, frames: Path, movie: Path) -> float:
    """Encode bare frames (1920 x 1080, yuv420p); the seconds of CPU that it took, scaling to low definition too."""
    width, height, bits = OUTPUTS[definition]
    parameters = ":".join(filter(None, (SEEKABLE, candidate.parameters)))
    scale = ("-vf", f"scale={width}:{height}:flags={candidate.scaler}") if definition is Definition.LOW else ()
    command: list[str | Path] = [
        *(tools.ffmpeg, "-nostdin", "-v", "error", "-y"),
        *bare(FRAMES_SIZE),
        *("-i", frames),
        *scale,
        *("-c:v", "libx264", "-preset", candidate.preset, "-x264-params", parameters),
        *("-b:v", str(bits), "-maxrate", str(bits), "-bufsize", str(2 * bits), movie),
    ]
    before = cpu_seconds()
    subprocess.run(command, check=True)
    return cpu_seconds() - before


def bare(size: tuple[int, int]) -> tuple[str, ...]:
    """Options of ffmpeg to read bare frames."""
    width, height = size
    return ("-f", "rawvideo", "-video_size", f"{width}x{height}", "-pix_fmt", "yuv420p", "-framerate", str(FRAMES_RATE))
