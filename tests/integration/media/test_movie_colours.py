"""Colour patches keep their values, whatever samples and tags the source has."""

from __future__ import annotations

from itertools import pairwise
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


def pq(nits: float) -> float:
    """The signal of a luminance: the inverse EOTF of SMPTE ST 2084."""
    power = (nits / 10_000) ** (2610 / 16384)
    signal: float = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    return signal


def hlg(light: float) -> float:
    """The signal of scene light, 0 to 1: the OETF of ARIB STD-B67."""
    curve = 0.17883277 * np.log(12 * light - 0.28466892) + 0.55991073 if light > 1 / 12 else np.sqrt(3 * light)
    return float(curve)


def greys(path: Path, signals: list[float], transfer: str) -> Path:
    """Bars of grey in 10 bits, BT.2020, limited range."""
    luma = np.zeros((180, 320), "<u2")
    edges = np.linspace(0, 320, len(signals) + 1).astype(int)
    for number, signal in enumerate(signals):
        luma[:, edges[number] : edges[number + 1]] = round(64 + 876 * signal)
    chroma = np.full((2, 180, 320), 512, "<u2")
    pixels = (luma.tobytes() + chroma.tobytes()) * 3
    raw = ("-f", "rawvideo", "-pix_fmt", "yuv444p10le", "-s", "320x180", "-r", "25", "-i", "pipe:0")
    tags = f"setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc:range=tv"
    ffmpeg(*raw, "-vf", tags, "-c:v", "ffv1", path, pixels=pixels)
    return path


@pytest.mark.parametrize(
    ("transfer", "signals"),
    [
        ("smpte2084", [pq(nits) for nits in (0, 5, 20, 60, 203, 500, 1000)]),
        ("arib-std-b67", [hlg(light) for light in (0, 0.01, 0.03, 0.08, 0.26, 0.6, 1.0)]),
    ],
)
async def test_high_dynamic_range_becomes_neutral_and_keeps_its_order(
    tmp_path: Path, transfer: str, signals: list[float]
) -> None:
    made = await make(greys(tmp_path / "hdr.mkv", signals, transfer))
    picture = frame(of(made, HIGH)).astype(int)
    height, width, _ = picture.shape
    middles = [int((number + 0.5) * width / len(signals)) for number in range(len(signals))]
    seen = [picture[height // 2 - 8 : height // 2 + 8, at - 4 : at + 4].mean(axis=(0, 1)) for at in middles]
    assert all(np.ptp(colour) <= 4 for colour in seen), seen  # greys stay grey
    levels = [float(colour.mean()) for colour in seen]
    assert all(darker + 8 < brighter for darker, brighter in pairwise(levels)), levels
    assert levels[0] <= 3
    assert 150 <= levels[4] <= 225  # diffuse white is bright, with room above it for highlights
    assert levels[-1] >= 245
