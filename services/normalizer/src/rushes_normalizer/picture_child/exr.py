"""Reads OpenEXR pictures with the reference library: the first part that shows colours, or else luminance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import OpenEXR
import pyvips

from rushes_normalizer.picture_child.bounds import Bounds
from rushes_normalizer.picture_child.refusal import RefusedError
from rushes_normalizer.picture_child.scene_linear import ROWS_AT_ONCE, Light, Matrix, render, to_bt709

_FLAT: Final = (OpenEXR.scanlineimage, OpenEXR.tiledimage)
_BYTES_OF_SAMPLE: Final = 4  # a half takes 2, but a header does not say which it is


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels; the last column and row belong to it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left + 1

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top + 1

    def within(self, other: Window) -> Window:
        """What both have in common."""
        return Window(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )


def decode_exr(source: Path, bounds: Bounds) -> pyvips.Image:
    """Decode an OpenEXR picture to its display window, pixels made square by widening.

    Raises:
        RefusedError: too large, damaged or cut off, deep, or without channels that can be shown.
    """
    headers = [part.header for part in _parts(source, header_only=True)]
    shown = choose_part(headers)
    header = headers[shown]
    names = choose_channels(_names(header))
    assert names is not None
    data, display = _window(header, "dataWindow"), _window(header, "displayWindow")
    ratio = float(header["pixelAspectRatio"])
    if not 0.1 <= ratio <= 10:
        raise RefusedError("corrupt", f"the OpenEXR has pixels {ratio} times as wide as high")
    width = max(1, round(display.width * ratio))
    bounds.check(width, display.height)
    needed = 0
    for each in headers:
        window = _window(each, "dataWindow")
        bounds.check(window.width, window.height)
        needed += window.width * window.height * len(each["channels"]) * _BYTES_OF_SAMPLE
    bounds.check_memory(needed)
    common = data.within(display)
    if common.width < 1 or common.height < 1:
        raise RefusedError("unsupported_codec", "the OpenEXR has no pixels within its display window")
    parts = _parts(source, header_only=False)
    if len(parts) != len(headers):  # it leaves out what it cannot decode
        raise RefusedError("corrupt", "the OpenEXR cannot be decoded to its end")
    matrix = to_bt709([float(each) for each in header["chromaticities"]]) if "chromaticities" in header else None
    channels = [parts[shown].channels[name].pixels for name in names]
    drawn = _draw(channels, data, common, matrix)
    outside = [0, 0, 0, 255] if len(names) == 3 else [0, 0, 0, 0]
    if common != display:
        if drawn.bands == 3:
            drawn = drawn.bandjoin(255)
        at = (common.left - display.left, common.top - display.top)
        drawn = drawn.embed(*at, display.width, display.height, extend="background", background=outside)
    if width != display.width:
        drawn = drawn.resize(width / display.width, vscale=1.0)
    return drawn.copy(interpretation="srgb").copy_memory()


def choose_part(headers: Sequence[Any]) -> int:
    """Which part is shown.

    Raises:
        RefusedError: `unsupported_codec` where no part has colours or luminance.
    """
    for number, header in enumerate(headers):
        if header["type"] in _FLAT and choose_channels(_names(header)) is not None:
            return number
    if any(header["type"] not in _FLAT for header in headers):
        raise RefusedError("unsupported_codec", "a deep OpenEXR is not read; please export it flat")
    found = ", ".join(sorted({name for header in headers for name in _names(header)}))[:100]
    raise RefusedError("unsupported_codec", f"the OpenEXR has no channels R, G, B or Y of full size; it has {found}")


def choose_channels(names: Sequence[str]) -> tuple[str, ...] | None:
    """The channels to show, as red, green, blue and, if there is one, alpha.

    The layer without a name wins, then the first one that has colours. Luminance alone is grey.
    """
    layers = sorted({name.rpartition(".")[0] for name in names})
    for colours in (("R", "G", "B"), ("Y", "Y", "Y")):
        for layer in layers:
            prefix = f"{layer}." if layer else ""
            wanted = tuple(prefix + colour for colour in colours)
            if f"{prefix}RY" not in names and all(name in names for name in wanted):
                return (*wanted, prefix + "A") if prefix + "A" in names else wanted
    return None


def _parts(source: Path, *, header_only: bool) -> list[Any]:
    try:
        parts = OpenEXR.File(str(source), separate_channels=True, header_only=header_only, num_threads=0).parts
    except MemoryError:
        raise
    except Exception as error:
        raise RefusedError("corrupt", f"the OpenEXR cannot be read: {' '.join(str(error).split())[:200]}") from None
    if header_only and not parts:
        raise RefusedError("corrupt", "the OpenEXR has no parts")
    return list(parts)


def _names(header: Any) -> list[str]:
    """Channels with a sample for each pixel."""
    return [channel.name for channel in header["channels"] if channel.xSampling == channel.ySampling == 1]


def _window(header: Any, name: str) -> Window:
    (left, top), (right, bottom) = header[name]
    return Window(int(left), int(top), int(right), int(bottom))


def _draw(
    channels: Sequence[npt.NDArray[np.generic]], data: Window, common: Window, matrix: Matrix | None
) -> pyvips.Image:
    left, top = common.left - data.left, common.top - data.top

    def blocks() -> Iterator[Light]:
        for row in range(top, top + common.height, ROWS_AT_ONCE):
            rows = slice(row, min(row + ROWS_AT_ONCE, top + common.height))
            columns = slice(left, left + common.width)
            yield np.stack([channel[rows, columns] for channel in channels], axis=2).astype(np.float32)

    return render(blocks(), common.width, common.height, matrix)
