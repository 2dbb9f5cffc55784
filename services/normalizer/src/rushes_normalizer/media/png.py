"""Reads a PNG from end to end: every checksum, every row. Nothing of it is kept."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from rushes_normalizer.media.plan import Size

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Samples of a pixel by colour type (PNG specification, 11.2.1).
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_LAST_FILTER: Final = 4
_INFLATED: Final = 1 << 20


class DamagedPngError(Exception):
    """A PNG that a reader would stumble over; the message says where."""


def check_png(path: Path) -> Size:
    """Read a PNG whole, in bounded memory.

    Each chunk has its CRC, the image data inflate to exactly the bytes of all rows under their own checksum, and each
    row names a filter that exists: with that, any reader comes to its end. Blocks; inflating lets other threads run.

    Returns:
        Its size.

    Raises:
        DamagedPngError: it is damaged, ends early, or is interlaced (Rushes writes none).
    """
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            raise DamagedPngError("no PNG")
        chunks = _chunks(file)
        kind, header = next(chunks, (b"", b""))
        if kind != b"IHDR" or len(header) != 13:
            raise DamagedPngError("no header")
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
        if interlaced or colour not in _SAMPLES:
            raise DamagedPngError(f"colour type {colour}, interlacing {interlaced}")
        rows = _Rows(1 + (width * _SAMPLES[colour] * depth + 7) // 8, height)
        for kind, data in chunks:
            if kind == b"IDAT":
                rows.add(data)
        rows.end()
    return Size(width, height)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """All chunks up to the one that ends the picture. ffmpeg writes image data in chunks of some kilobytes."""
    kind = b""
    while kind != b"IEND":
        head = file.read(8)
        if len(head) < 8:
            raise DamagedPngError("it ends early")
        length, kind = struct.unpack(">I4s", head)
        data, crc = file.read(length), file.read(4)
        if len(crc) < 4:
            raise DamagedPngError("it ends early")
        if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(crc, "big"):
            raise DamagedPngError(f"the checksum of a chunk {kind!r} is wrong")
        yield kind, data


class _Rows:
    """Counts the bytes of inflated rows, and looks at each row's filter."""

    def __init__(self, length: int, count: int) -> None:
        self._length = length
        self._expected = length * count
        self._seen = 0
        self._inflate = zlib.decompressobj()

    def add(self, data: bytes) -> None:
        try:
            while data:
                inflated = self._inflate.decompress(data, _INFLATED)
                data = self._inflate.unconsumed_tail
                self._look_at(inflated)
        except zlib.error as error:
            raise DamagedPngError(f"the image data: {error}") from None

    def _look_at(self, inflated: bytes) -> None:
        filters = inflated[-self._seen % self._length :: self._length]
        if filters and max(filters) > _LAST_FILTER:
            raise DamagedPngError(f"a row has the filter {max(filters)}")
        self._seen += len(inflated)

    def end(self) -> None:
        if self._seen != self._expected or not self._inflate.eof:
            raise DamagedPngError(f"the image data are {self._seen} bytes, not {self._expected}")
