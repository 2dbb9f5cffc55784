"""Footage for the benchmarks: photographs in motion with film grain, and a dark gradient that bands easily.

A wall of photographs fills the frame at about their own size. The camera pans over it and rolls, a smaller photograph
crosses in front at a speed of its own, and the picture cuts to another part of the wall half way. Every frame has new
grain. The wall is soft where a photograph was enlarged, as footage is where it is out of focus.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps
from rushes_normalizer.media.tools import Tools

from tests.bench.peer_environment import photographs

RATE: Final = 25
_PHOTOGRAPHS: Final = ("motorcycle_left.png", "coffee.png", "astronaut.png", "rocket.jpg", "chelsea.png")
_WALL: Final = (3840, 2160)  # for a frame of 1920 x 1080; twice that for 2160p
_ROWS: Final = 3
# Sigma of the grain in 8-bit code values, about that of 500 ASA film scanned at 2K.
_GRAIN: Final = "noise=c0s=7:c0f=t:c1s=3:c1f=t:c2s=3:c2f=t"
_TAGS: Final = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
_H264: Final = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
_PRORES: Final = ("-c:v", "prores_ks", "-profile:v", "hq", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s16le")


@dataclass(frozen=True)
class Clip:
    """One kind of upload.

    Attributes:
        height: of the frame, which is 16:9.
        seconds: its length unless another is asked for.
        suffix: of the file.
        codec: arguments of ffmpeg.
    """

    height: int
    seconds: float
    suffix: str
    codec: tuple[str, ...]

    @property
    def width(self) -> int:
        """Of the frame, pixels."""
        return self.height * 16 // 9


CLIPS: Final = {
    "prores-1080p": Clip(1080, 8, ".mov", _PRORES),
    "h264-1080p": Clip(1080, 8, ".mp4", (*_H264, "-crf", "17")),
    "h264-2160p": Clip(2160, 4, ".mp4", (*_H264, "-crf", "19")),
    "h264-720p": Clip(720, 10, ".mp4", (*_H264, "-crf", "17")),
}


def make_clip(tools: Tools, clip: Clip, path: Path, seconds: float) -> None:
    """Photographs in motion with grain, with a tone."""
    _ffmpeg(
        tools,
        *("-i", str(_wall(path.parent)), "-i", str(photographs(_PHOTOGRAPHS)[0])),
        *("-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000"),
        *("-filter_complex", _motion(clip, seconds), "-map", "[v]", "-map", "2:a", "-t", str(seconds)),
        *(*clip.codec, *_TAGS, str(path)),
    )


def make_moving_frames(tools: Tools, path: Path, seconds: float) -> None:
    """The same as bare frames: 1920 x 1080, yuv420p, nothing else in the file."""
    clip = CLIPS["h264-1080p"]
    _ffmpeg(
        tools,
        *("-i", str(_wall(path.parent)), "-i", str(photographs(_PHOTOGRAPHS)[0])),
        *("-filter_complex", _motion(clip, seconds), "-map", "[v]", "-t", str(seconds)),
        *("-pix_fmt", "yuv420p", "-f", "rawvideo", str(path)),
    )


def make_dark_frames(path: Path, seconds: float) -> None:
    """A light that moves behind fog, as bare frames: 1920 x 1080, yuv420p, luma 17 to 60 of 255.

    Computed with fractions and rounded with a dither of one code value: no band is in it, and an encoder that takes
    the dither for noise not worth its bits puts bands there.
    """
    width, height = 1920, 1080
    random = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    with path.open("wb") as file:
        for frame in range(round(seconds * RATE)):
            turn = frame / RATE * 0.4
            from_light = np.hypot(x - width * (0.5 + 0.25 * np.cos(turn)), y - height * (0.45 + 0.2 * np.sin(turn)))
            luma = 17 + 43 * np.exp(-((from_light / 800) ** 2))
            dithered = luma + random.random(luma.shape, np.float32) + random.random(luma.shape, np.float32) - 0.5
            file.write(np.floor(dithered).astype(np.uint8).tobytes())
            file.write((chroma + 4).tobytes())
            file.write((chroma - 2).tobytes())


def _motion(clip: Clip, seconds: float) -> str:
    scale = clip.height / 1080
    margin = round(clip.height * 0.25) * 2  # so that a roll shows no corner of the wall
    wide, high = clip.width + margin, clip.height + margin
    half = round(seconds * RATE / 2)
    still = f"loop=-1:1,setpts=N/{RATE}/TB"
    pan = f"x='(iw-ow)*(0.5+0.45*sin(n/70+if(gte(n,{half}),2.5,0)))'"
    pan += f":y='(ih-oh)*(0.5+0.45*cos(n/90+if(gte(n,{half}),1.5,0)))'"
    return (
        f"[0:v]scale={round(_WALL[0] * scale)}:-2:flags=lanczos,format=yuv444p,{still},"
        f"crop={wide}:{high}:{pan},"
        f"rotate=a='0.06*sin(n/30)':ow={clip.width}:oh={clip.height}:bilinear=1[back];"
        f"[1:v]scale={round(560 * scale)}:-2:flags=lanczos,format=yuv444p,{still}[front];"
        f"[back][front]overlay=x='mod(n*{5 * scale:.3f}+300,W+w)-w':y='H*0.55+H*0.1*sin(n/25)':format=yuv444,"
        f"scale=out_color_matrix=bt709:out_range=tv,{_GRAIN}[v]"
    )


def _wall(folder: Path) -> Path:
    """The photographs side by side, each row beginning with another one."""
    path = folder / "wall.png"
    if not path.exists():
        _paint_wall().save(path, compress_level=1)
    return path


@cache
def _paint_wall() -> Image.Image:
    width, height = _WALL
    row_height = height // _ROWS
    wall = Image.new("RGB", _WALL)
    pictures = []
    for path in photographs(_PHOTOGRAPHS):
        with Image.open(path) as picture:
            opaque = picture.convert("RGB")
            pictures.append(ImageOps.scale(opaque, row_height / opaque.height, Image.Resampling.LANCZOS))
    for row in range(_ROWS):
        x, number = 0, 2 * row
        while x < width:
            scaled = pictures[number % len(pictures)]
            wall.paste(scaled, (x, row * row_height))
            x, number = x + scaled.width, number + 1
    return wall


def _ffmpeg(tools: Tools, *arguments: str) -> None:
    done = subprocess.run(
        [tools.ffmpeg, "-nostdin", "-v", "error", "-y", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        msg = f"ffmpeg could not make {arguments[-1]}: {done.stderr}"
        raise RuntimeError(msg)
