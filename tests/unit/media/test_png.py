"""A PNG is read from end to end before it is published."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from rushes_normalizer.media.plan import Size
from rushes_normalizer.media.png import DamagedPngError, check_png

SIZE = (61, 47)


def png(mode: str) -> bytes:
    """Noise, in several chunks of image data."""
    samples = len(Image.new(mode, (1, 1)).tobytes())
    picture = Image.frombytes(mode, SIZE, os.urandom(SIZE[0] * SIZE[1] * samples))
    written = io.BytesIO()
    picture.save(written, "png")
    return written.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gray(rows: bytes, height: int = 2) -> bytes:
    """A gray picture, 3 wide, of the given inflated rows."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def check(tmp_path: Path, data: bytes) -> Size:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    return check_png(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "I;16"])
def test_a_whole_png_has_its_size(tmp_path: Path, mode: str) -> None:
    assert check(tmp_path, png(mode)) == Size(*SIZE)


def test_a_png_cut_anywhere_is_damaged(tmp_path: Path) -> None:
    whole = png("RGB")
    for end in {*range(0, len(whole), 97), len(whole) - 1}:
        with pytest.raises(DamagedPngError):
            check(tmp_path, whole[:end])


def test_a_changed_byte_anywhere_is_found(tmp_path: Path) -> None:
    whole = png("RGB")
    for at in range(0, len(whole), 53):
        with pytest.raises(DamagedPngError):
            check(tmp_path, whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (b"\0abc", "4 bytes, not 8"),
        (b"\0abc\0abc\0abc", "12 bytes, not 8"),
        (b"\0abc\5abc", "filter 5"),
    ],
)
def test_rows_that_a_reader_would_stumble_over_are_found(tmp_path: Path, rows: bytes, says: str) -> None:
    assert check(tmp_path, gray(b"\0abc\4abc")) == Size(3, 2)
    with pytest.raises(DamagedPngError, match=says):
        check(tmp_path, gray(rows))


def test_filters_are_found_across_the_pieces_of_a_long_picture(tmp_path: Path) -> None:
    rows = 400_000  # inflated in more than one piece, whose length is no multiple of a row's
    data = b"\0abc" * (rows - 1)
    assert check(tmp_path, gray(data + b"\0abc", rows)) == Size(3, rows)
    with pytest.raises(DamagedPngError, match="filter 9"):
        check(tmp_path, gray(data + b"\x09abc", rows))
