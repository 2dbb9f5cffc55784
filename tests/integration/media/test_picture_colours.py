"""Colours of uploaded pictures against computed values: profiles, CMYK, and scene-linear light."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR
import pytest
import pyvips
from PIL import Image
from rushes_schemas.outputs import ObjectKind

from tests.movies import ffmpeg, of, pixels_of
from tests.pictures import noise, original_of, pictures_of, resource, write_psd, write_radiance

Matrix = npt.NDArray[np.float64]
# Colorants adapted to D50, as columns: Adobe RGB (1998) specification; Apple's Display P3 profile; sRGB of the ICC.
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
PROFILES = {"adobe": (ADOBE_RGB, 2.19921875), "p3": (DISPLAY_P3, 2.2)}
PATCHES = np.array(
    [[200, 100, 50], [60, 160, 90], [90, 80, 180], [128, 128, 128], [255, 255, 255], [0, 0, 0], [180, 170, 90]],
    np.uint8,
)


def icc_profile(colorants: Matrix, gamma: float) -> bytes:
    """A display profile of ICC version 2: three colorants and one exponent."""

    def xyz(values: Any) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(each * 65536) for each in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78 + b"\0"
    tags = [
        (b"desc", name),
        (b"cprt", b"text\0\0\0\0none\0\0\0\0"),
        (b"wtpt", xyz((0.9642, 1.0, 0.8249))),
        *((key, xyz(colorants[:, band])) for band, key in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))),
        *((key, curve) for key in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    table, content = struct.pack(">I", len(tags)), b""
    for key, value in tags:
        table += struct.pack(">4sII", key, 128 + 4 + 12 * len(tags) + len(content), len(value))
        content += value
    head = struct.pack(
        ">I4sI4s4s4s", 128 + len(table) + len(content), b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ "
    )
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + b"\0" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + content


def encoded(light: npt.ArrayLike) -> Matrix:
    """The sRGB curve, to code values that are not rounded."""
    clipped = np.clip(light, 0, 1)
    curve: Matrix = 255 * np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return curve


def toned(light: float) -> float:
    """Grey under the tone curve of docs/media.md."""
    return light if light <= 0.8 else 1 - 0.2**2 / (light + 0.2 - 0.8)


@pytest.mark.parametrize("profile", list(PROFILES))
@pytest.mark.parametrize("extension", ["png", "jpg", "tiff", "webp", "psd"])
async def test_an_embedded_profile_is_converted_to_srgb(tmp_path: Path, profile: str, extension: str) -> None:
    colorants, gamma = PROFILES[profile]
    pixels = np.repeat(np.repeat(PATCHES[None], 16, 0), 16, 1)
    icc = icc_profile(colorants, gamma)
    source = tmp_path / f"a.{extension}"
    by_format: dict[str, dict[str, Any]] = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
    options = by_format.get(extension, {})
    if extension == "psd":
        write_psd(source, pixels.transpose(2, 0, 1), resources=resource(1039, icc))
    else:
        Image.fromarray(pixels).save(source, icc_profile=icc, **options)
    light = (PATCHES / 255) ** gamma @ (np.linalg.inv(SRGB) @ colorants).T
    found = await original_of(source)
    assert np.abs(found[8, 8::16, :3] - encoded(light)).max() <= 2
    assert np.abs(encoded(light) - PATCHES).max() > 20  # the profile matters


async def test_16_bits_keep_their_profile_and_their_steps(tmp_path: Path) -> None:
    samples = np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None].repeat(4, 0).repeat(3, 2)
    image = pyvips.Image.new_from_array(samples).copy(interpretation="rgb16")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc_profile(SRGB, 1.0))
    image.write_to_file(str(tmp_path / "linear.tiff"))
    found = await original_of(tmp_path / "linear.tiff")
    assert np.abs(found[0, :, 0] - encoded(samples[0, :, 0] / 65535)).max() <= 2


async def test_a_damaged_profile_is_left_out(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), (200, 100, 50)).save(tmp_path / "a.png", icc_profile=b"no profile" * 30)
    assert tuple((await original_of(tmp_path / "a.png"))[5, 5]) == (200, 100, 50, 255)


async def test_a_profile_of_another_kind_of_picture_is_left_out(tmp_path: Path) -> None:
    Image.new("L", (30, 20), 100).save(tmp_path / "a.png", icc_profile=icc_profile(ADOBE_RGB, 2.2))
    assert tuple((await original_of(tmp_path / "a.png"))[5, 5]) == (100, 100, 100, 255)


@pytest.mark.parametrize("extension", ["jpg", "tiff", "psd"])
async def test_inks_look_like_inks(tmp_path: Path, extension: str) -> None:
    inks = {"paper": (0, 0, 0, 0), "black": (0, 0, 0, 255), "cyan": (255, 0, 0, 0), "yellow": (0, 0, 255, 0)}
    pixels = np.repeat(np.repeat(np.array([list(inks.values())], np.uint8), 16, 0), 16, 1)
    source = tmp_path / f"a.{extension}"
    if extension == "psd":
        write_psd(source, 255 - pixels.transpose(2, 0, 1), mode=4)
    else:
        picture = Image.frombytes("CMYK", (64, 16), pixels.tobytes())
        picture.save(source, quality=100)
    found = await original_of(source)
    paper, black, cyan, yellow = found[8, 8::16, :3]
    assert paper.min() >= 250
    assert black.max() <= 60
    assert cyan[0] < 90
    assert 150 < cyan[1] < cyan[2]
    assert yellow[2] < 90
    assert yellow[:2].min() > 200


def write_exr(path: Path, channels: dict[str, Any], **header: Any) -> Path:
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, **header}, channels).write(str(path))
    return path


def ramp(top: float, steps: int = 128) -> npt.NDArray[np.float32]:
    """(4, steps, 3) of grey, from 0 to `top`."""
    return np.linspace(0, top, steps, dtype=np.float32)[None, :, None].repeat(4, 0).repeat(3, 2)


@pytest.mark.parametrize("compression", ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "DWAA"])
async def test_every_compression_of_an_exr_is_read(tmp_path: Path, compression: str) -> None:
    light = ramp(1.0).astype(np.float16)
    kind = getattr(OpenEXR, f"{compression}_COMPRESSION")
    found = await original_of(write_exr(tmp_path / "a.exr", {"RGB": light}, compression=kind))
    wanted = [encoded(toned(float(each))) for each in light[0, :, 0]]
    assert np.abs(found[0, :, 0] - wanted).max() <= (3 if compression in ("B44", "DWAA") else 1)


async def test_mid_grey_of_an_exr_stays_where_a_plain_viewer_shows_it(tmp_path: Path) -> None:
    light = np.full((20, 30, 3), 0.18, np.float32)
    found = await original_of(write_exr(tmp_path / "a.exr", {"RGB": light}))
    assert np.array_equal(np.unique(found[..., :3]), [118])  # 255 x (1.055 x 0.18 ^ (1 / 2.4) - 0.055) = 117.6


async def test_brighter_light_of_an_exr_is_never_darker(tmp_path: Path) -> None:
    steps = np.geomspace(0.001, 60000, 400, dtype=np.float32)
    light = steps[None, :, None].repeat(2, 0).repeat(3, 2)
    found = (await original_of(write_exr(tmp_path / "a.exr", {"RGB": light})))[0, :, 0]
    assert np.diff(found).min() >= 0
    assert found[-1] == 255
    assert 240 <= found[np.searchsorted(steps, 1.0)] <= 250  # room above white is left for what shines
    assert np.abs(found - [encoded(toned(float(step))) for step in steps]).max() <= 1


async def test_a_bright_colour_keeps_its_hue_and_nears_white(tmp_path: Path) -> None:
    light = np.array([[[2.0, 0.5, 0.1], [200.0, 50.0, 10.0], [5000.0, 1250.0, 250.0]]], np.float32).repeat(2, 0)
    red, green, blue = (await original_of(write_exr(tmp_path / "a.exr", {"RGB": light})))[0, :, :3].T
    assert red[0] > green[0] > blue[0]
    assert (red >= green).all()
    assert (green >= blue).all()
    assert (np.diff(blue) > 0).all()


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), -1.0])
async def test_light_that_is_none_is_black(tmp_path: Path, value: float) -> None:
    light = np.full((20, 30, 3), value, np.float32)
    assert (await original_of(write_exr(tmp_path / "a.exr", {"RGB": light})))[..., :3].max() == 0


async def test_an_exrs_colours_are_divided_by_their_alpha(tmp_path: Path) -> None:
    light = np.full((20, 30, 4), 0.25, np.float32)
    light[..., :3] = 0.09  # 0.18 is behind it by 50 %
    light[..., 3] = 0.5
    found = await original_of(write_exr(tmp_path / "a.exr", {"RGBA": light}))
    assert tuple(found[5, 5]) == (118, 118, 118, 128)


async def test_an_exr_of_other_primaries_is_converted(tmp_path: Path) -> None:
    ap1 = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
    light = np.array([[[0.2, 0.2, 0.2], [0.3, 0.2, 0.1]]], np.float32).repeat(2, 0)
    found = await original_of(write_exr(tmp_path / "a.exr", {"RGB": light}, chromaticities=ap1))
    # ACES: from AP1 to BT.709 with the Bradford adaptation, as in the Academy's own transforms.
    matrix = np.array([[1.70505, -0.62179, -0.08326], [-0.13026, 1.14080, -0.01055], [-0.02400, -0.12897, 1.15297]])
    assert np.abs(found[0, :, :3] - encoded(light[0] @ matrix.T)).max() <= 1


async def test_an_exr_is_shown_in_its_display_window(tmp_path: Path) -> None:
    light = np.full((20, 30, 3), 0.18, np.float32)
    light[:, :5] = 0.5  # five columns hang out at the left
    window = (np.array([-5, 3], np.int32), np.array([24, 22], np.int32))
    display = (np.array([0, 0], np.int32), np.array([39, 31], np.int32))
    source = write_exr(tmp_path / "a.exr", {"RGB": light}, dataWindow=window, displayWindow=display)
    found = await original_of(source)
    wanted = np.zeros((32, 40), int)
    wanted[3:23, 0:25] = 118
    assert np.array_equal(found[..., 1], wanted)
    assert found[..., 3].min() == 255


async def test_an_exr_of_wide_pixels_is_widened(tmp_path: Path) -> None:
    light = np.full((20, 30, 3), 0.18, np.float32)
    made = await pictures_of(write_exr(tmp_path / "a.exr", {"RGB": light}, pixelAspectRatio=2.0))
    assert (made.facts.width, made.facts.height) == (60, 20)
    assert pixels_of(of(made, ObjectKind.PREVIEW_PICTURE), "RGBA").shape == (400, 1200, 4)


async def test_the_first_part_of_an_exr_with_colours_is_shown(tmp_path: Path) -> None:
    depth = OpenEXR.Part({}, {"Z": np.ones((20, 30), np.float32)}, "depth")
    grey = np.full((20, 30), 0.18, np.float16)
    layer = {f"beauty.{name}": grey for name in "RGB"} | {f"mask.{name}": grey * 0 for name in "RGB"}
    OpenEXR.File([depth, OpenEXR.Part({}, layer, "render")]).write(str(tmp_path / "a.exr"))
    assert (await original_of(tmp_path / "a.exr"))[5, 5, 0] == 118


async def test_a_tiled_exr_of_luminance_is_grey(tmp_path: Path) -> None:
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    light = {"Y": np.full((40, 60), 0.18, np.float32)}
    source = write_exr(tmp_path / "a.exr", light, type=OpenEXR.tiledimage, tiles=tiles)
    assert np.array_equal(np.unique((await original_of(source))[..., :3]), [118])


@pytest.mark.parametrize("coded", [False, True])
async def test_a_radiance_picture_is_read(tmp_path: Path, coded: bool) -> None:
    rgbe = np.zeros((40, 300, 4), np.uint8)
    rgbe[..., :3] = np.random.default_rng(4).integers(0, 255, (40, 300, 3))
    rgbe[..., 3] = np.repeat(np.arange(120, 140), 15)[None]
    rgbe[7] = (40, 90, 130, 127)
    light = (rgbe[..., :3] + 0.5) * 2.0 ** (rgbe[..., 3:].astype(float) - 136)
    found = await original_of(write_radiance(tmp_path / "a.hdr", rgbe, coded=coded))
    dark = light.max(axis=2) <= 0.8
    assert np.abs(found[..., :3] - encoded(light))[dark].max() <= 0.6
    assert found[..., :3][light > 100].min() >= 250


async def test_another_reader_agrees_on_a_radiance_picture(tmp_path: Path) -> None:
    rgbe = noise(60, 40, 4)
    rgbe[..., 3] = 126  # light up to 0.25
    source = write_radiance(tmp_path / "a.hdr", rgbe)
    raw = ffmpeg("-f", "hdr_pipe", "-i", source, "-f", "rawvideo", "-pix_fmt", "gbrpf32le", "-")
    green, blue, red = np.frombuffer(raw, "<f4").reshape(3, 40, 60)
    half_a_step = 0.5 * 2.0 ** (126 - 136)  # ffmpeg takes the lower end of a step, Radiance its middle
    light = np.dstack([red, green, blue]) + half_a_step
    assert np.abs((await original_of(source))[..., :3] - encoded(light)).max() <= 0.6


async def test_the_exposure_of_a_radiance_picture_is_taken_back(tmp_path: Path) -> None:
    rgbe = np.full((40, 60, 4), (184, 184, 184, 128), np.uint8)
    source = write_radiance(tmp_path / "a.hdr", rgbe, "EXPOSURE=2.0\nEXPOSURE= 2\n")
    assert (await original_of(source))[3, 3, 0] == round(float(encoded(184.5 / 256 / 4)))


@pytest.mark.parametrize("bands", [1, 3, 4])
async def test_a_tiff_of_float_is_light(tmp_path: Path, bands: int) -> None:
    light = np.full((20, 30, bands), 0.18, np.float32)
    if bands == 4:
        light[..., 3] = 1.0
    kind = "b-w" if bands == 1 else "scrgb"
    pyvips.Image.new_from_array(light).copy(interpretation=kind).tiffsave(str(tmp_path / "a.tiff"))
    found = await original_of(tmp_path / "a.tiff")
    assert tuple(found[5, 5]) == (118, 118, 118, 255)
