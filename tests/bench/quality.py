"""How close a movie is to its reference: VMAF, SSIM and banding (CAMBI), by the libvmaf of ffmpeg."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rushes_normalizer.media.tools import Tools

# Scaled with more care than either side takes, so that neither scaler is the measure of itself.
_SCALE: Final = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass(frozen=True)
class Frames:
    """A movie to be measured; `options` are ffmpeg's for bare frames."""

    path: Path
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quality:
    """Means over all frames.

    Attributes:
        vmaf: 0 to 100, model vmaf_v0.6.1: a 1080p screen at three times its height.
        vmaf_min: of the worst frame.
        ssim: 0 to 1, luma.
        cambi: banding, 0 (none) to 24; over 5 is annoying.
        frames: that were compared.
    """

    vmaf: float
    vmaf_min: float
    ssim: float
    cambi: float
    frames: int


def measure_quality(tools: Tools, movie: Frames, reference: Frames, *, width: int, height: int, rate: int) -> Quality:
    """Compare frame n with frame n, both scaled to one size.

    Give the size at which the movie is watched: a low definition movie is judged as a player shows it, enlarged.
    """
    same = f"setpts=N/{rate}/TB,scale={width}:{height}:{_SCALE},format=yuv420p"
    options = "feature=name=float_ssim|name=cambi:log_fmt=json:log_path=log.json:n_threads=2:shortest=1"
    graph = f"[0:v]{same}[movie];[1:v]{same}[reference];[movie][reference]libvmaf={options}"
    inputs = [*movie.options, "-i", str(movie.path), *reference.options, "-i", str(reference.path)]
    with tempfile.TemporaryDirectory(prefix="rushes-quality-") as folder:
        subprocess.run(
            [tools.ffmpeg, "-nostdin", "-v", "error", *inputs, "-filter_complex", graph, "-f", "null", "-"],
            cwd=folder,
            check=True,
        )
        log = json.loads((Path(folder) / "log.json").read_text(encoding="ascii"))
    pooled = log["pooled_metrics"]
    return Quality(
        vmaf=pooled["vmaf"]["mean"],
        vmaf_min=pooled["vmaf"]["min"],
        ssim=pooled["float_ssim"]["mean"],
        cambi=pooled["cambi"]["mean"],
        frames=len(log["frames"]),
    )
