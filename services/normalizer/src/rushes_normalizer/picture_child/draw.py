"""The PNGs of a decoded picture."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

import pyvips

from rushes_normalizer.picture_child.bounds import Bounds

# Of libvips' levels and filters on a photograph with grain: as small as level 3 with a filter chosen for each row to
# within 3 %, in half the time (docs/media.md). Nothing of the upload's metadata goes along, its place least of all.
_PNG: Final = {"compression": 2, "filter": "up", "keep": "none"}


def draw(
    image: pyvips.Image,
    original: str | None,
    scaled: tuple[str, int],
    fitted: Mapping[str, tuple[int, int]],
    bounds: Bounds,
) -> None:
    """Write RGBA PNGs of an upright 8 bit sRGB image, as `answers.Task` names them."""
    if original is not None:
        _save(image, original)
    name, width = scaled
    height = max(1, round(Fraction(width * image.height, image.width)))
    if height > bounds.side:  # a strip so tall that the width would be absurd
        width, height = max(1, round(Fraction(bounds.side * image.width, image.height))), bounds.side
    _save(_resized(image, width, height), name)
    for name, (box_width, box_height) in fitted.items():
        factor = min(Fraction(box_width, image.width), Fraction(box_height, image.height))
        small = _resized(image, max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        padded = _with_alpha(small).gravity(
            "centre", box_width, box_height, extend="background", background=[0, 0, 0, 0]
        )
        _save(padded, name)


def _resized(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """Another size; colours are weighed by their alpha, so that what is invisible does not bleed into edges."""
    across, down = width / image.width, height / image.height
    if image.bands == 3:
        return image.resize(across, vscale=down)
    return image.premultiply().resize(across, vscale=down).unpremultiply().rint().cast("uchar")


def _with_alpha(image: pyvips.Image) -> pyvips.Image:
    return image if image.bands == 4 else image.bandjoin(255)


def _save(image: pyvips.Image, name: str) -> None:
    _with_alpha(image).copy(interpretation="srgb").pngsave(name, **_PNG)
