"""Reads Radiance HDR pictures (RGBE, run-length encoded or flat)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyvips

from rushes_normalizer.picture_child.bounds import Bounds
from rushes_normalizer.picture_child.refusal import RefusedError
from rushes_normalizer.picture_child.scene_linear import ROWS_AT_ONCE, Light, Matrix, render, to_bt709

_MAX_HEADER: Final = 65536
_RESOLUTION: Final = re.compile(rb"-Y +(\d{1,9}) +\+X +(\d{1,9})\n")
_NUMBER: Final = r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?"
_EXPOSURE: Final = re.compile(rf"EXPOSURE\s*=\s*({_NUMBER})")
_PRIMARIES: Final = re.compile(rf"PRIMARIES\s*=\s*({_NUMBER}(?:\s+{_NUMBER}){{7}})")
# Scan lines of other widths have no code of their own and lie flat.
_MIN_CODED, _MAX_CODED = 8, 32767


@dataclass(frozen=True)
class Header:
    """What stands before the pixels.

    Attributes:
        width: in pixels.
        height: in pixels.
        exposure: what the light was multiplied by before it was written.
        matrix: to the primaries of BT.709.
        pixels_at: where the first scan line begins.
    """

    width: int
    height: int
    exposure: float
    matrix: Matrix | None
    pixels_at: int


def decode_radiance(source: Path, bounds: Bounds) -> pyvips.Image:
    """Decode a Radiance picture.

    Raises:
        RefusedError: too large, damaged or cut off, or not RGBE from the top left.
    """
    with source.open("rb") as file:
        header = read_header(file.read(_MAX_HEADER))
        bounds.check(header.width, header.height)
        # A run takes two bytes at least, so what is longer than this is no picture of that size.
        longest = header.pixels_at + header.height * (4 + 8 * header.width)
        file.seek(0)
        content = file.read(longest)
    return render(_blocks(content, header), header.width, header.height, header.matrix)


def read_header(head: bytes) -> Header:
    """Read the lines before the pixels.

    Raises:
        RefusedError: `corrupt` for a header without an end, `unsupported_codec` for other pixels than RGBE.
    """
    end = head.find(b"\n\n")
    resolution = _RESOLUTION.match(head, end + 2) if end >= 0 else None
    if resolution is None:
        if end >= 0 and re.match(rb"[-+][XY] +\d+ +[-+][XY] +\d+\n", head[end + 2 : end + 64]):
            raise RefusedError("unsupported_codec", "the Radiance HDR is stored turned or mirrored, which is not read")
        raise RefusedError("corrupt", "the Radiance HDR has no end of its header")
    lines = head[:end].decode("latin-1")
    if "FORMAT=32-bit_rle_xyze" in lines:
        raise RefusedError("unsupported_codec", "the Radiance HDR holds XYZ, which is not read; RGB is")
    exposure = 1.0
    for found in _EXPOSURE.findall(lines):  # each program that scaled the picture has added one
        exposure *= float(found)
    if not 0 < exposure < float("inf"):
        raise RefusedError("corrupt", f"the Radiance HDR has an exposure of {exposure}")
    primaries = _PRIMARIES.findall(lines)
    try:
        matrix = to_bt709([float(each) for each in primaries[-1].split()]) if primaries else None
    except (np.linalg.LinAlgError, ZeroDivisionError):
        raise RefusedError("corrupt", "the Radiance HDR has primaries that make no colours") from None
    return Header(int(resolution.group(2)), int(resolution.group(1)), exposure, matrix, resolution.end())


def _blocks(content: bytes, header: Header) -> Iterator[Light]:
    rows = _rows(content, header)
    for top in range(0, header.height, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, header.height - top)
        rgbe = np.stack([next(rows) for _ in range(count)])
        # Half a step more, as Radiance itself has it: a mantissa stands for the middle of its step.
        scale = np.ldexp(np.float32(1 / header.exposure), rgbe[..., 3].astype(np.int32) - 136)
        light = (rgbe[..., :3] + np.float32(0.5)) * scale[..., None]
        light[rgbe[..., 3] == 0] = 0
        yield light.astype(np.float32)


def _rows(content: bytes, header: Header) -> Iterator[npt.NDArray[np.uint8]]:
    width, at = header.width, header.pixels_at
    if len(content) - at == 4 * width * header.height:
        flat = np.frombuffer(content, np.uint8, offset=at).reshape(header.height, width, 4)
        yield from flat
        return
    begin = bytes([2, 2, width >> 8, width & 255]) if _MIN_CODED <= width <= _MAX_CODED else b""
    for number in range(header.height):
        if not begin or content[at : at + 4] != begin:
            _refuse_line(content, at, number)
        planes, at = _decode_line(content, at + 4, 4 * width, number)
        yield np.frombuffer(planes, np.uint8).reshape(4, width).T


def _decode_line(content: bytes, at: int, length: int, number: int) -> tuple[bytes, int]:
    """One scan line: its red, then green, blue and exponents; and where the next begins."""
    line = bytearray()
    while len(line) < length:
        code = content[at : at + 2]
        if len(code) < 2:
            raise RefusedError("corrupt", f"the Radiance HDR ends in row {number}")
        if code[0] > 128:
            line += code[1:] * (code[0] - 128)
            at += 2
        else:
            line += content[at + 1 : at + 1 + code[0]]
            at += 1 + code[0]
            if code[0] == 0 or at > len(content):
                raise RefusedError("corrupt", f"the Radiance HDR is damaged or ends in row {number}")
    if len(line) != length:
        raise RefusedError("corrupt", f"a run of the Radiance HDR passes the end of row {number}")
    return bytes(line), at


def _refuse_line(content: bytes, at: int, number: int) -> None:
    if number == 0 and len(content) - at >= 4 and content[at : at + 2] != b"\x02\x02":
        msg = "the Radiance HDR is cut off, or run-length encoded in the way of before 1991, which is not read"
        raise RefusedError("corrupt", msg)
    raise RefusedError("corrupt", f"the Radiance HDR is damaged or ends before row {number}")
