"""Colour patches keep their values, whatever samples and tags the source has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rushes_schemas.outputs import ObjectKind

from tests.movies import ffmpeg, frame, make, of

HIGH = ObjectKind.HIGH_DEFINITION
PATCHES = [(200, 40, 40), (40, 180, 60), (50, 60, 200), (230, 230, 230), (16, 16, 16), (200, 180, 40), (128, 128, 128)]


def patches(width: int, height: int) -> bytes:
    picture = np.zeros((height, width, 3), np.uint8)
    edges = np.linspace(0, width, len(PATCHES) + 1).astype(int)
    for number, colour in enumerate(PATCHES):
        picture[:, edges[number] : edges[number + 1]] = colour
    return picture.tobytes() * 3


def source(path: Path, width: int, height: int, *output: str) -> Path:
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25", "-i", "pipe:0")
    ffmpeg(*raw, *output, path, pixels=patches(width, height))
    return path


def tagged(matrix: str, full: bool = False) -> list[str]:
    name = {"bt709": "bt709", "smpte170m": "smpte170m"}[matrix]
    spread = "pc" if full else "tv"
    convert = f"scale=out_color_matrix={name}:out_range={spread},format=yuv444p"
    return ["-vf", convert, "-colorspace", matrix, "-color_range", spread, "-c:v", "libx264", "-qp", "1"]


UNTAGGED_709 = ["-vf", "scale=out_color_matrix=bt709,format=yuv444p,setparams=colorspace=unknown:range=unknown",
                "-c:v", "libx264", "-qp", "1"]  # fmt: skip
UNTAGGED_601 = [UNTAGGED_709[0], UNTAGGED_709[1].replace("bt709", "smpte170m"), *UNTAGGED_709[2:]]


@pytest.mark.parametrize(
    ("name", "size", "output"),
    [
        ("rgb.mov", (320, 180), ["-c:v", "png"]),
        ("rgb.avi", (320, 180), ["-c:v", "rawvideo", "-pix_fmt", "bgr24"]),
        ("gbr.mkv", (320, 180), ["-c:v", "libx264rgb", "-qp", "0"]),
        ("sd601.mp4", (320, 180), tagged("smpte170m")),
        ("hd709.mp4", (320, 180), tagged("bt709")),
        ("full709.mp4", (320, 180), tagged("bt709", full=True)),
        ("untagged-hd.mp4", (1280, 720), UNTAGGED_709),
        ("untagged-sd.mp4", (720, 576), UNTAGGED_601),
        ("alpha.mov", (320, 180), ["-c:v", "png", "-pix_fmt", "rgba"]),
        ("deep-alpha.mov", (320, 180), [*tagged("bt709")[:6], "-c:v", "prores_ks", "-pix_fmt", "yuva444p10le"]),
        ("jpeg.avi", (320, 180), ["-c:v", "mjpeg", "-q:v", "1", "-pix_fmt", "yuvj444p"]),
    ],
)
async def test_patches_keep_their_colours(tmp_path: Path, name: str, size: tuple[int, int], output: list[str]) -> None:
    made = await make(source(tmp_path / name, *size, *output))
    for kind in (HIGH, ObjectKind.LOW_DEFINITION, ObjectKind.ORIGINAL):
        picture = frame(of(made, kind)).astype(int)
        height, width, _ = picture.shape
        for number, colour in enumerate(PATCHES):
            middle = int((number + 0.5) * width / len(PATCHES))
            seen = picture[height // 2 - 8 : height // 2 + 8, middle - 4 : middle + 4].mean(axis=(0, 1))
            assert np.abs(seen - colour).max() <= 3, (kind, colour, seen)


async def test_half_transparent_white_over_black_is_grey(tmp_path: Path) -> None:
    path = tmp_path / "glass.mov"
    ffmpeg("-f", "lavfi", "-i", "color=white@0.5:size=320x180:rate=25:duration=0.12,format=rgba", "-c:v", "png", path)
    made = await make(path)
    picture = frame(of(made, HIGH)).astype(int)
    assert np.abs(picture - 127).max() <= 3
