"""From scene-linear light, where 1 is a white page and a lamp may be 1000, to 8 bit sRGB.

The tone curve is that of the Khronos PBR Neutral specification without its toe: light up to 0.8 stays as it is, so
that a mid-grey of 0.18 and everything around it looks as in a plain sRGB viewer. What is brighter is rolled off towards
white by its largest channel, which keeps the hue, and loses saturation as it nears white.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyvips

Light = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
# x and y of red, green, blue and white.
Chromaticities = Sequence[float]

BT709: Final[Chromaticities] = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
ROWS_AT_ONCE: Final = 64
_KNEE: Final = 0.8
_DESATURATION: Final = 0.15
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_LARGEST_HALF: Final = 65504.0


def to_bt709(chromaticities: Chromaticities) -> Matrix | None:
    """The matrix from RGB of other primaries, adapted to the white of BT.709; None where there is nothing to do."""
    if np.allclose(chromaticities, BT709, atol=1e-3):
        return None
    cones = [_BRADFORD @ _xyz_of(*each[6:8]) for each in (chromaticities, BT709)]
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(cones[1] / cones[0]) @ _BRADFORD
    matrix: Matrix = np.linalg.inv(_rgb_to_xyz(BT709)) @ adapt @ _rgb_to_xyz(chromaticities)
    return matrix


def _xyz_of(x: float, y: float) -> Matrix:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _rgb_to_xyz(chromaticities: Chromaticities) -> Matrix:
    primaries = np.stack([_xyz_of(*chromaticities[at : at + 2]) for at in (0, 2, 4)], axis=1)
    matrix: Matrix = primaries * np.linalg.solve(primaries, _xyz_of(*chromaticities[6:8]))
    return matrix


def render(blocks: Iterable[Light], width: int, height: int, matrix: Matrix | None = None) -> pyvips.Image:
    """An sRGB image of light.

    Args:
        blocks: the rows from the top, some at a time: (rows, width, 3), or 4 with alpha that the colours have been
            multiplied by, as OpenEXR has it.
        matrix: from the light's primaries to those of BT.709.
    """
    whole: npt.NDArray[np.uint8] | None = None
    done = 0
    for block in blocks:
        if whole is None:
            whole = np.empty((height, width, block.shape[2]), np.uint8)
        whole[done : done + len(block)] = _display(block, matrix)
        done += len(block)
    assert whole is not None
    assert done == height
    image = pyvips.Image.new_from_memory(whole, width, height, whole.shape[2], "uchar")
    return image.copy(interpretation="srgb")


def from_vips(image: pyvips.Image) -> pyvips.Image:
    """An sRGB image of a float one: grey, RGB, with or without straight alpha."""
    alpha = image.hasalpha()
    bands = image[: image.bands - 1] if alpha else image
    if bands.bands < 3:
        bands = bands[0].bandjoin([bands[0], bands[0]])
    bands = bands[:3]
    if alpha:
        share = image[image.bands - 1]
        bands = (bands * share).bandjoin(share)
    bands = bands.cast("float")

    def blocks() -> Iterable[Light]:
        for top in range(0, bands.height, ROWS_AT_ONCE):
            yield bands.crop(0, top, bands.width, min(ROWS_AT_ONCE, bands.height - top)).numpy()

    return render(blocks(), image.width, image.height)


def _display(block: Light, matrix: Matrix | None) -> npt.NDArray[np.uint8]:
    light = np.nan_to_num(block, nan=0.0, posinf=_LARGEST_HALF, neginf=0.0)
    colours = light[..., :3]
    alpha = None
    if light.shape[2] == 4:
        alpha = np.clip(light[..., 3:], 0.0, 1.0)
        colours = np.divide(colours, alpha, out=np.zeros_like(colours), where=alpha > 0)
    if matrix is not None:
        colours = colours @ matrix.T.astype(np.float32)
    encoded = _ENCODED[np.rint(_toned(np.clip(colours, 0.0, _LARGEST_HALF)) * 65535).astype(np.uint16)]
    if alpha is None:
        return encoded
    return np.concatenate([encoded, np.rint(alpha * 255).astype(np.uint8)], axis=2)


def _toned(colours: Light) -> Light:
    peak = colours.max(axis=2)
    bright = peak > _KNEE
    before = peak[bright]
    room = 1 - _KNEE
    after = 1 - room * room / (before + room - _KNEE)
    keep = (1 / (_DESATURATION * (before - after) + 1))[:, None]
    toned = colours.copy()
    toned[bright] = colours[bright] * (after / before)[:, None] * keep + after[:, None] * (1 - keep)
    return toned


def _encoding() -> npt.NDArray[np.uint8]:
    """The sRGB curve (IEC 61966-2-1) for 65536 steps of light: at its steepest a step is 0.05 code values."""
    light = np.arange(65536) / 65535
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    codes: npt.NDArray[np.uint8] = np.rint(curve * 255).astype(np.uint8)
    return codes


_ENCODED: Final = _encoding()
