"""Pictures that are refused: with the right code, before they cost much, and never half drawn."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import pyvips
from PIL import Image
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_schemas.failures import FailureCode

from tests.pictures import noise, pictures_of, resource, write_psd, write_radiance

ONE_GIBIBYTE = 1024**3


async def refused(source: Path, limits: Limits | None = None) -> MediaError:
    """Why a picture is refused; and nothing that was begun may look like an output."""
    with pytest.raises(MediaError) as caught:
        await pictures_of(source, limits=limits)
    assert str(source.parent) not in caught.value.message
    return caught.value


def write(path: Path) -> Path:
    """A valid picture of noise, of the format that the name says."""
    pixels = noise(120, 80)
    by_format: dict[str, dict[str, Any]] = {"webp": {"lossless": True}, "tif": {"compression": "tiff_lzw"}}
    options = by_format.get(path.suffix[1:], {})
    match path.suffix:
        case ".psd":
            write_psd(path, pixels.transpose(2, 0, 1))
        case ".exr":
            OpenEXR.File({}, {"RGB": pixels.astype(np.float16)}).write(str(path))
        case ".hdr":
            write_radiance(path, np.dstack([pixels, np.full((80, 120), 128, np.uint8)]))
        case ".tiff":
            pyvips.Image.new_from_array(pixels).tiffsave(str(path), tile=True, tile_width=16, tile_height=16)
        case _:
            Image.fromarray(pixels).save(path, **options)
    return path


FORMATS = ["png", "jpg", "gif", "webp", "tif", "tiff", "psd", "exr", "hdr"]


@pytest.mark.parametrize("extension", FORMATS)
async def test_a_picture_that_was_cut_off_is_corrupt(tmp_path: Path, extension: str) -> None:
    whole = write(tmp_path / f"whole.{extension}")
    content = whole.read_bytes()
    await pictures_of(whole)
    for part in (0.02, 0.5, 0.97):
        cut = tmp_path / f"cut-{part}.{extension}"
        cut.write_bytes(content[: int(len(content) * part)])
        error = await refused(cut)
        assert error.code is FailureCode.CORRUPT, (part, error)


@pytest.mark.parametrize("extension", ["png", "jpg", "exr", "hdr"])
async def test_a_damaged_picture_is_corrupt(tmp_path: Path, extension: str) -> None:
    source = write(tmp_path / f"a.{extension}")
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = b"\xff\x00\xfe\x81" * 16 if extension == "hdr" else b"\xff\xd0" * 32
    source.write_bytes(content)
    assert (await refused(source)).code is FailureCode.CORRUPT


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a drawing -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "">\n<svg/>',
        b'<s:svg xmlns:s="http://www.w3.org/2000/svg"/>',
    ],
)
async def test_an_svg_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.svg").write_bytes(content)
    error = await refused(tmp_path / "a.svg")
    assert error.code is FailureCode.UNSUPPORTED_CODEC
    assert "SVG is refused" in error.message


async def test_a_movie_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\0\0\0\x20ftypisom" + b"\0" * 500)
    assert (await refused(tmp_path / "a.png")).code is FailureCode.NOT_A_MOVIE


def png_of_zeros(path: Path, side: int) -> Path:
    """A square PNG that decodes to `side` x `side` grey pixels: a hundredth of a percent of their bytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


async def test_a_picture_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    source = png_of_zeros(tmp_path / "bomb.png", 16000)
    assert source.stat().st_size < 1_000_000
    error = await refused(source)
    assert error.code is FailureCode.LIMITS_EXCEEDED
    assert "16000x16000" in error.message


async def test_a_picture_bomb_within_the_pixel_limit_stops_at_the_memory_limit(tmp_path: Path) -> None:
    source = png_of_zeros(tmp_path / "bomb.png", 16000)
    error = await refused(source, Limits(max_pixels=16000**2, max_memory_bytes=ONE_GIBIBYTE))
    assert error.code is FailureCode.LIMITS_EXCEEDED
    assert "bytes of samples" in error.message


@pytest.mark.parametrize("extension", FORMATS)
async def test_every_format_is_held_against_the_pixel_limit(tmp_path: Path, extension: str) -> None:
    source = write(tmp_path / f"a.{extension}")
    for limits in (Limits(max_pixels=120 * 80 - 1), Limits(max_side=119)):
        error = await refused(source, limits)
        assert error.code is FailureCode.LIMITS_EXCEEDED
        assert "120x80" in error.message
        (tmp_path / f"{source.name}.scratch").rmdir()  # empty: nothing was decoded


async def test_an_exr_with_an_absurd_window_is_refused_by_its_header(tmp_path: Path) -> None:
    source = write(tmp_path / "a.exr")
    content = source.read_bytes()
    window = struct.pack("<4i", 0, 0, 119, 79)
    for name in (b"dataWindow", b"displayWindow"):
        at = content.index(name) + len(name) + len(b"\0box2i\0") + 4
        assert content[at : at + 16] == window
        bomb = tmp_path / f"{name.decode()}.exr"
        bomb.write_bytes(content[:at] + struct.pack("<4i", 0, 0, 2**30, 2**30) + content[at + 16 :])
        assert (await refused(bomb)).code in (FailureCode.LIMITS_EXCEEDED, FailureCode.CORRUPT)


async def test_an_exr_of_more_channels_than_memory_is_refused_by_its_header(tmp_path: Path) -> None:
    plane = np.zeros((500, 500), np.float16)
    channels = {f"layer{number}.{name}": plane for number in range(200) for name in "RGB"}
    OpenEXR.File({"compression": OpenEXR.RLE_COMPRESSION}, channels).write(str(tmp_path / "a.exr"))
    error = await refused(tmp_path / "a.exr", Limits(max_memory_bytes=ONE_GIBIBYTE // 2))
    assert error.code is FailureCode.LIMITS_EXCEEDED
    assert "bytes of samples" in error.message


async def test_a_deep_exr_is_refused_by_name(tmp_path: Path) -> None:
    samples = np.empty((4, 5), object)
    for at in np.ndindex(4, 5):
        samples[at] = np.ones(2, np.float32)
    header = {"type": OpenEXR.deepscanline, "compression": OpenEXR.ZIPS_COMPRESSION}
    OpenEXR.File(header, dict.fromkeys("RGB", samples)).write(str(tmp_path / "a.exr"))
    error = await refused(tmp_path / "a.exr")
    assert (error.code, "deep" in error.message) == (FailureCode.UNSUPPORTED_CODEC, True)


async def test_an_exr_without_colours_is_refused_by_its_channels(tmp_path: Path) -> None:
    OpenEXR.File({}, {"Z": np.ones((4, 5), np.float32)}).write(str(tmp_path / "a.exr"))
    error = await refused(tmp_path / "a.exr")
    assert (error.code, "it has Z" in error.message) == (FailureCode.UNSUPPORTED_CODEC, True)


async def test_a_psd_that_claims_no_channels_is_corrupt(tmp_path: Path) -> None:
    source = write(tmp_path / "a.psd")
    content = bytearray(source.read_bytes())
    content[12:14] = bytes(2)
    source.write_bytes(content)
    error = await refused(source)
    assert (error.code, error.message) == (FailureCode.CORRUPT, "the PSD says that it has 0 channels")


async def test_a_psd_without_a_merged_picture_is_refused_by_name(tmp_path: Path) -> None:
    planes = noise().transpose(2, 0, 1)
    source = write_psd(tmp_path / "a.psd", planes, resources=resource(1057, b"\0\0\0\1\0" + b"\0" * 8))
    error = await refused(source)
    assert (error.code, "without a merged" in error.message) == (FailureCode.UNSUPPORTED_CODEC, True)


@pytest.mark.parametrize(("mode", "version"), [(9, 1), (3, 2)])
async def test_a_psd_of_another_kind_is_refused(tmp_path: Path, mode: int, version: int) -> None:
    source = write_psd(tmp_path / "a.psd", noise().transpose(2, 0, 1), mode=mode, version=version)
    assert (await refused(source)).code is FailureCode.UNSUPPORTED_CODEC


@pytest.mark.parametrize("line", ["-X 40 +Y 60", "+Y 40 +X 60"])
async def test_a_turned_radiance_picture_is_refused(tmp_path: Path, line: str) -> None:
    source = write(tmp_path / "a.hdr")
    source.write_bytes(source.read_bytes().replace(b"-Y 80 +X 120", line.encode()))
    assert (await refused(source)).code is FailureCode.UNSUPPORTED_CODEC


async def test_a_tiff_of_32_bit_integers_is_refused(tmp_path: Path) -> None:
    pyvips.Image.new_from_array(np.zeros((20, 30, 3), np.uint32)).tiffsave(str(tmp_path / "a.tiff"))
    assert (await refused(tmp_path / "a.tiff")).code is FailureCode.UNSUPPORTED_CODEC


async def test_pngs_that_pass_the_file_limit_are_refused(tmp_path: Path) -> None:
    error = await refused(write(tmp_path / "a.jpg"), Limits(max_output_bytes=10_000))
    assert error.code is FailureCode.LIMITS_EXCEEDED
