"""Colour patches keep their values, whatever samples and tags the source has."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from rushes_schemas.outputs import ObjectKind

from tests.movies import encoded, ffmpeg, frame, make, of

HIGH = ObjectKind.HIGH_DEFINITION
PATCHES = [(200, 40, 40), (40, 180, 60), (50, 60, 200), (230, 230, 230), (16, 16, 16), (200, 180, 40), (128, 128, 128)]


def patches(width: int, height: int) -> bytes:
    picture = np.zeros((height, width, 3), np.uint8)
    edges = np.linspace(0, width, len(PATCHES) + 1).astype(int)
    for number, colour in enumerate(PATCHES):
        picture[:, edges[number] : edges[number + 1]] = colour
    return picture.tobytes() * 3


# ITU-R BT.2087, annex 2.
BT2020_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])


def bt709(colour: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Y'CbCr of R'G'B' (0 to 1) in BT.709, limited range of 8 bits, not rounded."""
    luma = float(colour @ np.array([0.2126, 0.7152, 0.0722]))
    blue, red = (colour[2] - luma) / 1.8556, (colour[0] - luma) / 1.5748
    return np.array([16 + 219 * luma, 128 + 224 * blue, 128 + 224 * red])


def codes(path: Path, patches: int) -> npt.NDArray[np.float64]:
    """Y'CbCr as it is stored, in the middle of each of `patches` bars of a movie's first frame."""
    height, width, _ = frame(path).shape
    raw = ffmpeg("-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
    samples = np.frombuffer(raw, np.uint8)
    luma = samples[: width * height].reshape(height, width)
    blue, red = samples[width * height :].reshape(2, height // 2, width // 2)
    seen = []
    for number in range(patches):
        x, y = int((number + 0.5) * width / patches), height // 2
        chroma = [plane[y // 2 - 4 : y // 2 + 4, x // 2 - 2 : x // 2 + 2].mean() for plane in (blue, red)]
        seen.append([luma[y - 8 : y + 8, x - 4 : x + 4].mean(), *chroma])
    return np.array(seen)


def source(path: Path, width: int, height: int, *output: str) -> Path:
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25", "-i", "pipe:0")
    return encoded(path, *raw, *output, pixels=patches(width, height))


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
    expected = np.array([bt709(np.array(colour) / 255) for colour in PATCHES])
    for kind in (HIGH, ObjectKind.LOW_DEFINITION):
        seen = codes(of(made, kind), len(PATCHES))
        assert np.abs(seen - expected).max() <= 2, (kind, seen, expected)
    picture = frame(of(made, ObjectKind.ORIGINAL)).astype(int)
    height, width, _ = picture.shape
    for number, colour in enumerate(PATCHES):
        middle = int((number + 0.5) * width / len(PATCHES))
        assert np.abs(picture[height // 2, middle] - colour).max() <= 3  # 8 bits of YUV hold no more


async def test_wide_primaries_are_converted_in_linear_light(tmp_path: Path) -> None:
    convert = "scale=out_color_matrix=bt2020:out_range=tv,format=yuv444p10le"
    tags = "setparams=color_primaries=bt2020:color_trc=bt2020-10:colorspace=bt2020nc:range=tv"
    made = await make(source(tmp_path / "wide.mkv", 320, 180, "-vf", f"{convert},{tags}", "-c:v", "ffv1"))
    seen = codes(of(made, HIGH), len(PATCHES))
    for number in (3, 4, 5, 6):  # the others lie outside of what BT.709 can show
        light = BT2020_TO_BT709 @ (np.array(PATCHES[number]) / 255) ** 2.4
        expected = bt709(np.clip(light, 0, 1) ** (1 / 2.4))
        tolerance = 2 if light.min() >= 0 and light.max() <= 1 else 4
        assert np.abs(seen[number] - expected).max() <= tolerance, (PATCHES[number], seen[number], expected)


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
