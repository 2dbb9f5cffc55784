"""Makes the pictures of an upload, and uploads that no library here writes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.make import Made, make_picture
from rushes_schemas.outputs import ObjectKind

from tests.movies import Pixels, of, pixels_of


async def pictures_of(source: Path, *, keep_original: bool = False, limits: Limits | None = None) -> Made:
    """What the product makes of an uploaded picture."""
    scratch = source.with_name(f"{source.name}.scratch")
    scratch.mkdir()
    return await make_picture(
        source,
        scratch,
        keep_original=keep_original,
        limits=limits or Limits(),
        progress=lambda _stage, _fraction: None,
    )


async def original_of(source: Path) -> npt.NDArray[np.int_]:
    """The original picture of an upload, as RGBA that can be subtracted."""
    return pixels_of(of(await pictures_of(source), ObjectKind.ORIGINAL), "RGBA").astype(int)


def noise(width: int = 60, height: int = 40, channels: int = 3) -> Pixels:
    """The same noise each time."""
    return np.random.default_rng(width).integers(0, 255, (height, width, channels), dtype=np.uint8)


def quadrants(width: int = 60, height: int = 40) -> Image.Image:
    """Red, green, blue and white, from the top left to the bottom right."""
    picture = Image.new("RGB", (width, height), (255, 0, 0))
    picture.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    picture.paste((0, 0, 255), (0, height // 2, width // 2, height))
    picture.paste((255, 255, 255), (width // 2, height // 2, width, height))
    return picture


def write_psd(
    path: Path,
    planes: Pixels | npt.NDArray[np.uint16],
    *,
    mode: int = 3,
    packed: bool = True,
    layers: int = 0,
    resources: bytes = b"",
    version: int = 1,
) -> Path:
    """A Photoshop document with a merged picture and no layers' pixels.

    Args:
        planes: (channels, height, width), 8 or 16 bit.
        mode: 1 grey, 3 RGB, 4 CMYK.
        layers: the layer count; a negative one makes the first channel after the colours transparency.
        resources: image resource blocks.
    """
    channels, height, width = planes.shape
    depth = planes.dtype.itemsize * 8
    rows = [row.astype(row.dtype.newbyteorder(">")).tobytes() for plane in planes for row in plane]
    if packed:
        rows = [_pack_bits(row) for row in rows]
        picture = struct.pack(f">H{len(rows)}H", 1, *map(len, rows)) + b"".join(rows)
    else:
        picture = b"\0\0" + b"".join(rows)
    info = struct.pack(">IhH", 4, layers, 0) if layers else b""
    path.write_bytes(
        struct.pack(">4sH6xHIIHH", b"8BPS", version, channels, height, width, depth, mode)
        + struct.pack(">I", 0)
        + struct.pack(">I", len(resources))
        + resources
        + struct.pack(">I", len(info))
        + info
        + picture
    )
    return path


def _pack_bits(row: bytes) -> bytes:
    """Literal runs but for rows of one value: both kinds of run occur."""
    if len(set(row)) == 1:
        whole, rest = divmod(len(row), 128)
        runs = bytes([129, row[0]]) * whole
        return runs + (bytes([257 - rest, row[0]]) if rest > 1 else bytes([0, row[0]]) * rest)
    return b"".join(bytes([len(row[at : at + 128]) - 1]) + row[at : at + 128] for at in range(0, len(row), 128))


def resource(number: int, content: bytes) -> bytes:
    """One image resource block of a Photoshop document, without a name."""
    return struct.pack(">4sHHI", b"8BIM", number, 0, len(content)) + content + b"\0" * (len(content) % 2)


def write_radiance(path: Path, rgbe: Pixels, header: str = "", *, coded: bool = True) -> Path:
    """A Radiance HDR of (height, width, 4): run-length encoded, constant rows as runs, or flat."""
    height, width, _ = rgbe.shape
    lines = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n{header}\n-Y {height} +X {width}\n".encode()
    if coded:
        lines += b"".join(
            bytes([2, 2, width >> 8, width & 255]) + b"".join(_runs(row[:, channel].tobytes()) for channel in range(4))
            for row in rgbe
        )
    else:
        lines += rgbe.tobytes()
    path.write_bytes(lines)
    return path


def _runs(plane: bytes) -> bytes:
    chunks = [plane[at : at + 100] for at in range(0, len(plane), 100)]
    return b"".join(
        bytes([128 + len(chunk), chunk[0]]) if len(set(chunk)) == 1 else bytes([len(chunk)]) + chunk for chunk in chunks
    )
