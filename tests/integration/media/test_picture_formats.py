"""Pixels of every format that pictures are made of, read back from the original picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image
from rushes_schemas.outputs import ObjectKind

from tests.movies import of, pixels_of
from tests.pictures import noise, original_of, pictures_of, quadrants, resource, write_psd

OPAQUE = 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "tiff", "webp"])
async def test_a_picture_stands_as_its_orientation_says(tmp_path: Path, extension: str, orientation: int) -> None:
    # What EXIF 2.32 calls orientation n, undone: a transposition swaps the sides.
    stored_as = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    upright = quadrants()
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = tmp_path / f"upload.{extension}"
    (upright if stored_as is None else upright.transpose(stored_as)).save(source, exif=exif, quality=95)
    made = await pictures_of(source)
    assert (made.facts.width, made.facts.height) == (60, 40)
    original = pixels_of(of(made, ObjectKind.ORIGINAL), "RGB").astype(int)
    middles = original[[10, 10, 30, 30], [15, 45, 15, 45]]
    assert np.abs(middles - [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]).max() <= 12
    assert pixels_of(of(made, ObjectKind.THUMBNAIL), "RGBA")[5, 5, 0] > 200
    assert pixels_of(of(made, ObjectKind.PREVIEW_PICTURE), "RGBA").shape == (800, 1200, 4)


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("tiled", [False, True])
async def test_a_tiff_of_8_bits_is_read(tmp_path: Path, compression: str, tiled: bool) -> None:
    pixels = noise()
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
    image.tiffsave(str(tmp_path / "a.tiff"), compression=compression, tile=tiled, Q=95)
    found = await original_of(tmp_path / "a.tiff")
    exact = 0 if compression != "jpeg" else 255  # noise in JPEG is only asked for its size
    assert np.abs(found[..., :3] - pixels).max() <= exact


@pytest.mark.parametrize("extension", ["png", "tiff"])
async def test_16_bits_become_the_nearest_8(tmp_path: Path, extension: str) -> None:
    samples = np.linspace(0, 65535, 60 * 40 * 3).reshape(40, 60, 3).astype(np.uint16)
    image = pyvips.Image.new_from_array(samples).copy(interpretation="rgb16")
    image.write_to_file(str(tmp_path / f"a.{extension}"))
    found = await original_of(tmp_path / f"a.{extension}")
    assert np.array_equal(found[..., :3], np.rint(samples / 257).astype(int))


@pytest.mark.parametrize("extension", ["png", "tiff"])
async def test_16_bits_of_alpha_and_grey_become_the_nearest_8(tmp_path: Path, extension: str) -> None:
    samples = np.linspace(0, 65535, 60 * 40 * 2).reshape(40, 60, 2).astype(np.uint16)
    image = pyvips.Image.new_from_array(samples).copy(interpretation="grey16")
    image.write_to_file(str(tmp_path / f"a.{extension}"))
    found = await original_of(tmp_path / f"a.{extension}")
    grey, alpha = (np.rint(samples[..., band] / 257).astype(int) for band in (0, 1))
    assert np.array_equal(found, np.dstack([grey, grey, grey, alpha]))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
async def test_every_kind_of_png_is_read(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(noise(channels=4), "RGBA").convert(mode)
    picture.save(tmp_path / "a.png")
    assert np.array_equal(await original_of(tmp_path / "a.png"), np.asarray(picture.convert("RGBA")))


async def test_webp_keeps_its_alpha(tmp_path: Path) -> None:
    pixels = noise(channels=4)
    pixels[..., 3] = np.maximum(pixels[..., 3], 1)
    Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=True, exact=True)
    assert np.array_equal(await original_of(tmp_path / "a.webp"), pixels)


@pytest.mark.parametrize("extension", ["gif", "webp", "png"])
async def test_an_animation_gives_its_first_frame(tmp_path: Path, extension: str) -> None:
    first, second = (Image.new("RGB", (60, 40), colour) for colour in ((200, 30, 40), (30, 200, 40)))
    options: dict[str, Any] = {"lossless": True} if extension == "webp" else {}
    first.save(tmp_path / f"a.{extension}", save_all=True, append_images=[second], duration=100, **options)
    found = await original_of(tmp_path / f"a.{extension}")
    assert found.shape == (40, 60, 4)
    assert np.abs(found - (200, 30, 40, OPAQUE)).max() <= 1


async def test_a_document_of_pages_gives_its_first_page(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (60, 40), (200, 30, 40)), Image.new("RGB", (90, 90), (30, 200, 40))]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    assert np.array_equal(
        np.unique((await original_of(tmp_path / "a.tiff")).reshape(-1, 4), axis=0)[0][:3], [200, 30, 40]
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
async def test_a_psd_shows_its_merged_picture(
    tmp_path: Path, packed: bool, kind: type[np.uint8] | type[np.uint16]
) -> None:
    planes = noise(200).transpose(2, 0, 1).copy()
    planes[:, 3:9] = 77  # rows of one value
    deep = planes.astype(np.uint16) * 257 if kind is np.uint16 else planes
    source = write_psd(tmp_path / "a.psd", deep, packed=packed)
    assert np.array_equal((await original_of(source))[..., :3], planes.transpose(1, 2, 0))


async def test_another_reader_agrees_on_a_psd(tmp_path: Path) -> None:
    source = write_psd(tmp_path / "a.psd", noise(200).transpose(2, 0, 1))
    with Image.open(source) as picture:
        assert np.array_equal((await original_of(source))[..., :3], np.asarray(picture))


async def test_a_grey_psd_is_read(tmp_path: Path) -> None:
    planes = noise(channels=1).transpose(2, 0, 1)
    found = await original_of(write_psd(tmp_path / "a.psd", planes, mode=1))
    assert np.array_equal(found[..., 1], planes[0])


async def test_a_psds_transparency_is_alpha_and_its_white_is_taken_away(tmp_path: Path) -> None:
    alpha = np.full((40, 60), 102, np.uint8)  # 40 %
    alpha[:, :30] = 0
    over_white = [np.rint(255 + (colour - 255.0) * alpha / 255).astype(np.uint8) for colour in (200, 30, 40)]
    source = write_psd(tmp_path / "a.psd", np.stack([*over_white, alpha]), layers=-1)
    found = await original_of(source)
    assert np.abs(found[:, 30:] - (200, 30, 40, 102)).max() <= 2
    assert found[:, :30].max() == 0


async def test_a_psds_kept_selections_are_no_alpha(tmp_path: Path) -> None:
    planes = noise(channels=5).transpose(2, 0, 1)
    found = await original_of(write_psd(tmp_path / "a.psd", planes, layers=1))
    assert np.array_equal(found[..., :3], planes[:3].transpose(1, 2, 0))
    assert found[..., 3].min() == OPAQUE


async def test_resources_beside_a_psds_picture_do_not_disturb(tmp_path: Path) -> None:
    blocks = resource(1005, b"\0" * 16) + resource(1057, b"\0\0\0\1\1" + b"\0" * 8) + resource(1060, b"odd")
    planes = noise().transpose(2, 0, 1)
    found = await original_of(write_psd(tmp_path / "a.psd", planes, resources=blocks))
    assert np.array_equal(found[..., :3], planes.transpose(1, 2, 0))


async def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    quadrants().save(tmp_path / "a.jpg", quality=95)
    (tmp_path / "a.jpg").rename(tmp_path / "a.png")
    assert np.abs((await original_of(tmp_path / "a.png"))[5, 5] - (255, 0, 0, OPAQUE)).max() <= 8


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 3000), (3000, 1)])
async def test_the_narrowest_pictures_are_drawn(tmp_path: Path, width: int, height: int) -> None:
    Image.new("RGB", (width, height), (200, 30, 40)).save(tmp_path / "a.png")
    made = await pictures_of(tmp_path / "a.png")
    assert (made.facts.width, made.facts.height) == (width, height)
    thumbnail = pixels_of(of(made, ObjectKind.THUMBNAIL), "RGBA")
    visible = thumbnail[thumbnail[..., 3] > 0].astype(int)
    assert len(visible) in (100 * 100, 100, 150)
    assert np.abs(visible - (200, 30, 40, OPAQUE)).max() <= 1


async def test_what_is_invisible_does_not_bleed_into_edges(tmp_path: Path) -> None:
    pixels = np.zeros((400, 600, 4), np.uint8)
    pixels[:, :, 1] = 255  # green that nobody sees
    pixels[:, :301] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    thumbnail = pixels_of(of(await pictures_of(tmp_path / "a.png"), ObjectKind.THUMBNAIL), "RGBA")
    visible = thumbnail[thumbnail[..., 3] > 8]
    assert visible[:, 1].max() <= 4


async def test_nothing_of_an_uploads_metadata_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "the place where it was taken"
    quadrants().save(tmp_path / "a.jpg", exif=exif)
    made = await pictures_of(tmp_path / "a.jpg")
    for output in made.outputs:
        assert b"the place" not in output.path.read_bytes()
        with Image.open(output.path) as picture:
            assert not picture.getexif()
            assert "icc_profile" not in picture.info
