"""Wraps the merged picture of a Photoshop document as a TIFF.

Both keep the channels one after another, each row as it is or by PackBits, and colours in the same order. So libtiff
can decode what Photoshop wrote: this module only reads lengths (Adobe Photoshop File Formats Specification) and writes
tags (TIFF 6.0).
"""

from __future__ import annotations

import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from rushes_normalizer.picture_child.bounds import Bounds
from rushes_normalizer.picture_child.refusal import RefusedError

_GREY, _RGB, _CMYK, _DUOTONE = 1, 3, 4, 8
# The mode's colour channels, and TIFF's PhotometricInterpretation. The ink of a duotone is not kept: Photoshop's
# specification says to treat it as grey.
_MODES: Final = {_GREY: (1, 1), _DUOTONE: (1, 1), _RGB: (3, 2), _CMYK: (4, 5)}
_RAW, _PACK_BITS = 0, 1
_MAX_CHANNELS: Final = 56
_ICC_PROFILE, _VERSION_INFO = 1039, 1057
_SHORT, _LONG, _UNDEFINED = 3, 4, 7
_HEADER: Final = struct.Struct(">4sH6xHIIHH")
_TIFF_BYTES: Final = 2**32
_MAX_RESOURCES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Merged:
    """How the merged picture of the TIFF is to be read.

    Attributes:
        colours: bands of colour; one more, if there is one, is alpha.
        inverted: colours count backwards: 0 is full ink.
    """

    colours: int
    inverted: bool


@dataclass(frozen=True)
class _Header:
    channels: int
    height: int
    width: int
    depth: int
    mode: int

    @property
    def row_bytes(self) -> int:
        return self.width * self.depth // 8


def wrap_as_tiff(source: Path, target: Path, bounds: Bounds) -> Merged:
    """Write `target` with the merged picture of `source`.

    Raises:
        RefusedError: too large, cut off, without a merged picture, or of a mode that is not read.
    """
    with source.open("rb") as file:
        header = _read_header(file)
        bounds.check(header.width, header.height)
        colours, photometric = _MODES[header.mode]
        _section(file)  # colour table
        profile, has_merged = _read_resources(_section(file))
        transparent = _skip_layers(file)
        if not has_merged:
            msg = "the PSD was saved without a merged picture; please save it with maximised compatibility"
            raise RefusedError("unsupported_codec", msg)
        bands = colours + 1 if transparent and header.channels > colours else colours
        if header.channels < bands:
            raise RefusedError("corrupt", f"the PSD has {header.channels} channels, not {colours}")
        (compression,) = struct.unpack(">H", _read(file, 2))
        if compression not in (_RAW, _PACK_BITS):
            raise RefusedError("unsupported_codec", f"the PSD's merged picture has compression {compression}")
        rows = header.height * header.channels
        if compression == _RAW:
            counts = (header.row_bytes,) * rows
        else:
            counts = struct.unpack(f">{rows}H", _read(file, 2 * rows))
        counts = counts[: header.height * bands]  # channels after these are selections that were kept
        tags = _tags(header, bands, colours, photometric, compression, counts, profile)
        _write(file, target, tags, sum(counts))
    return Merged(colours, inverted=header.mode == _CMYK)


def _read(file: BinaryIO, length: int) -> bytes:
    content = file.read(length)
    if len(content) < length:
        raise RefusedError("corrupt", "the PSD ends before its merged picture")
    return content


def _length(file: BinaryIO) -> int:
    (length,) = struct.unpack(">I", _read(file, 4))
    return int(length)


def _section(file: BinaryIO) -> bytes:
    length = _length(file)
    if length > _MAX_RESOURCES:
        raise RefusedError("limits_exceeded", f"the PSD has {length} bytes beside its picture")
    return _read(file, length)


def _read_header(file: BinaryIO) -> _Header:
    _, version, channels, height, width, depth, mode = _HEADER.unpack(_read(file, _HEADER.size))
    if version != 1:
        raise RefusedError("unsupported_codec", f"a PSD of version {version} (PSB) is not read")
    if not 1 <= channels <= _MAX_CHANNELS:
        raise RefusedError("corrupt", f"the PSD says that it has {channels} channels")
    if mode not in _MODES or depth not in (8, 16, 32):
        msg = f"a PSD of mode {mode} with {depth} bit is not read; grey, RGB and CMYK with 8, 16 and 32 bit are"
        raise RefusedError("unsupported_codec", msg)
    return _Header(channels, height, width, depth, mode)


def _read_resources(block: bytes) -> tuple[bytes, bool]:
    """The colour profile, and whether there is a merged picture; without a word of it there is."""
    profile, has_merged, at = b"", True, 0
    while at + 12 <= len(block) and block[at : at + 4] == b"8BIM":
        number, name_length = struct.unpack(">HB", block[at + 4 : at + 7])
        at += 6 + (1 + name_length + 1) // 2 * 2
        (length,) = struct.unpack(">I", block[at : at + 4].rjust(4, b"\0"))
        content = block[at + 4 : at + 4 + length]
        if number == _ICC_PROFILE:
            profile = content
        elif number == _VERSION_INFO and len(content) > 4:
            has_merged = bool(content[4])
        at += 4 + (length + 1) // 2 * 2
    return profile, has_merged


def _skip_layers(file: BinaryIO) -> bool:
    """Whether the first channel after the colours is the merged picture's transparency: a negative count says so."""
    length = _length(file)
    end = file.tell() + length
    transparent = False
    if length >= 6 and _length(file) >= 2:
        (count,) = struct.unpack(">h", _read(file, 2))
        transparent = count < 0
    file.seek(end)
    return transparent


def _tags(
    header: _Header,
    bands: int,
    colours: int,
    photometric: int,
    compression: int,
    counts: tuple[int, ...],
    profile: bytes,
) -> dict[int, tuple[int, bytes]]:
    """TIFF's tags by number: type and value. The offsets of the rows (273) follow when their place is known."""
    longs = struct.pack(f">{len(counts)}I", *counts)
    tags = {
        256: (_LONG, struct.pack(">I", header.width)),
        257: (_LONG, struct.pack(">I", header.height)),
        258: (_SHORT, struct.pack(f">{bands}H", *[header.depth] * bands)),
        259: (_SHORT, struct.pack(">H", 1 if compression == _RAW else 32773)),
        262: (_SHORT, struct.pack(">H", photometric)),
        273: (_LONG, longs),
        277: (_SHORT, struct.pack(">H", bands)),
        278: (_LONG, struct.pack(">I", 1)),  # rows of a strip
        279: (_LONG, longs),
        284: (_SHORT, struct.pack(">H", 2)),  # one channel after another
        339: (_SHORT, struct.pack(f">{bands}H", *[3 if header.depth == 32 else 1] * bands)),
    }
    if bands > colours:
        tags[338] = (_SHORT, struct.pack(">H", 2))  # alpha that the colours have not been multiplied by
    if profile:
        tags[34675] = (_UNDEFINED, profile)
    return dict(sorted(tags.items()))


def _write(file: BinaryIO, target: Path, tags: dict[int, tuple[int, bytes]], picture_bytes: int) -> None:
    values_at = 8 + 2 + 12 * len(tags) + 4
    picture_at = values_at + sum(len(value) + len(value) % 2 for _, value in tags.values() if len(value) > 4)
    if picture_at + picture_bytes > _TIFF_BYTES:
        raise RefusedError("limits_exceeded", "the PSD's merged picture has 4 GiB and more")
    if os.fstat(file.fileno()).st_size - file.tell() < picture_bytes:
        raise RefusedError("corrupt", "the PSD ends within its merged picture")
    counts = struct.unpack(f">{len(tags[279][1]) // 4}I", tags[279][1])
    offsets, at = [], picture_at
    for count in counts:
        offsets.append(at)
        at += count
    tags[273] = (_LONG, struct.pack(f">{len(offsets)}I", *offsets))
    sizes = {_SHORT: 2, _LONG: 4, _UNDEFINED: 1}
    entries, values = b"", b""
    for number, (kind, value) in tags.items():
        entries += struct.pack(">HHI", number, kind, len(value) // sizes[kind])
        if len(value) <= 4:
            entries += value.ljust(4, b"\0")
        else:
            entries += struct.pack(">I", values_at + len(values))
            values += value + b"\0" * (len(value) % 2)
    with target.open("wb") as tiff:
        tiff.write(struct.pack(">2sHIH", b"MM", 42, 8, len(tags)) + entries + b"\0\0\0\0" + values)
        shutil.copyfileobj(file, tiff)  # selections that follow are copied too: nothing points at them
