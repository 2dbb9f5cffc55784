"""The four pictures of an uploaded picture and of a movie's first frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_schemas.failures import FailureCode
from rushes_schemas.outputs import ObjectKind

from tests.movies import make, movie, of, pixels_of
from tests.pictures import pictures_of

ORIGINAL, THUMBNAIL = ObjectKind.ORIGINAL, ObjectKind.THUMBNAIL
SQUARE, PREVIEW = ObjectKind.SQUARE_THUMBNAIL, ObjectKind.PREVIEW_PICTURE


def gradient(width: int, height: int) -> Image.Image:
    across = np.linspace(0, 255, width, dtype=np.uint8)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height, dtype=np.uint8)[:, None].repeat(width, 1)
    return Image.fromarray(np.dstack([across, down, np.full_like(across, 90)]))


@pytest.mark.parametrize("extension", ["png", "jpg", "gif"])
async def test_an_upload_gives_four_pictures(tmp_path: Path, extension: str) -> None:
    source = tmp_path / f"upload.{extension}"
    gradient(400, 100).save(source)
    made = await pictures_of(source)
    seen = {}
    for output in made.outputs:
        with Image.open(output.path) as picture:
            seen[output.kind] = picture.size
            assert (picture.format, picture.mode) == ("PNG", "RGBA")
    assert seen == {ORIGINAL: (400, 100), THUMBNAIL: (150, 100), SQUARE: (100, 100), PREVIEW: (1200, 300)}
    assert (made.facts.width, made.facts.height, made.facts.frame_count) == (400, 100, 1)
    wanted = pixels_of(source, "RGB").astype(int)
    found = pixels_of(of(made, ORIGINAL), "RGB").astype(int)
    assert np.abs(wanted - found).max() <= 8  # two JPEG decoders interpolate chroma in two ways


async def test_thumbnails_are_fitted_between_transparent_bars(tmp_path: Path) -> None:
    Image.new("RGB", (400, 100), (200, 30, 40)).save(tmp_path / "wide.png")
    made = await pictures_of(tmp_path / "wide.png")
    thumbnail = pixels_of(of(made, THUMBNAIL), "RGBA")
    shown = np.flatnonzero(thumbnail[:, 75, 3])
    assert (shown[0], shown[-1]) in ((31, 68), (30, 67))  # 150 / 4 = 38 rows, in the middle
    assert tuple(thumbnail[50, 75]) == (200, 30, 40, 255)
    square = pixels_of(of(made, SQUARE), "RGBA")
    assert len(np.flatnonzero(square[:, 50, 3])) == 25
    assert square[0].max() == 0


async def test_transparency_is_kept(tmp_path: Path) -> None:
    Image.new("RGBA", (300, 200), (10, 200, 30, 100)).save(tmp_path / "glass.png")
    made = await pictures_of(tmp_path / "glass.png")
    for output in made.outputs:
        middle = pixels_of(output.path, "RGBA")
        seen = middle[middle.shape[0] // 2, middle.shape[1] // 2].astype(int)
        assert np.abs(seen - (10, 200, 30, 100)).max() <= 1


async def test_the_upload_can_be_its_own_original(tmp_path: Path) -> None:
    gradient(300, 200).save(tmp_path / "upload.png")
    made = await pictures_of(tmp_path / "upload.png", keep_original=True)
    assert {output.kind for output in made.outputs} == {THUMBNAIL, SQUARE, PREVIEW}


@pytest.mark.parametrize("extension", ["png", "jpg"])
async def test_a_picture_that_was_cut_off_is_corrupt(tmp_path: Path, extension: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    whole = tmp_path / f"whole.{extension}"
    Image.fromarray(noise).save(whole)
    for part in (0.02, 0.5, 0.95):
        source = tmp_path / f"cut-{part}.{extension}"
        source.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * part)])
        with pytest.raises(MediaError) as caught:
            await pictures_of(source)
        assert caught.value.code is FailureCode.CORRUPT, part


@pytest.mark.parametrize(
    ("content", "code"), [(b"", FailureCode.SOURCE_EMPTY), (b"some text\n" * 99, FailureCode.NOT_A_MOVIE)]
)
async def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes, code: FailureCode) -> None:
    source = tmp_path / "upload.png"
    source.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        await pictures_of(source)
    assert caught.value.code is code


async def test_a_picture_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    Image.new("L", (300, 200)).save(tmp_path / "big.png")
    with pytest.raises(MediaError) as caught:
        await pictures_of(tmp_path / "big.png", limits=Limits(max_pixels=59_999))
    assert caught.value.code is FailureCode.LIMITS_EXCEEDED


async def test_a_movies_pictures_show_its_first_frame(tmp_path: Path) -> None:
    white_then_black = "geq=lum='if(eq(N,0),235,16)':cb=128:cr=128"
    source = movie(tmp_path / "a.mp4", "-vf", white_then_black, "-c:v", "libx264", "-crf", "4", frames=4)
    made = await make(source)
    for kind in (ORIGINAL, THUMBNAIL, SQUARE, PREVIEW):
        picture = pixels_of(of(made, kind), "RGBA")
        assert picture[picture.shape[0] // 2, picture.shape[1] // 2].min() > 225
    assert pixels_of(of(made, PREVIEW), "RGBA").shape == (675, 1200, 4)
