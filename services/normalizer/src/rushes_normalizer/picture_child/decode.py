"""From a file of a known format to an upright 8 bit sRGB image in memory: RGB, or RGBA with straight alpha."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, assert_never

import pyvips

from rushes_normalizer.picture_child.bounds import Bounds
from rushes_normalizer.picture_child.formats import Format
from rushes_normalizer.picture_child.refusal import RefusedError

_FIRST_PAGE: Final = {"page": 0, "n": 1}
_PSD_AS_TIFF: Final = Path("merged.tif")
_WORDS_OF_MEMORY: Final = ("out of memory", "cannot allocate", "failed to allocate")
_WORDS_OF_ABSENCE: Final = ("unsupported", "not configured", "not supported", "not implemented")


def decode(source: Path, known: Format, bounds: Bounds) -> pyvips.Image:
    """Decode the first page or frame, whole.

    Raises:
        RefusedError: the picture is too large (said before any pixel is decoded), damaged, cut off, or of a kind that
            is not read.
    """
    try:
        match known:
            case Format.EXR:
                from rushes_normalizer.picture_child.exr import decode_exr  # noqa: PLC0415 - numpy takes 0.1 s

                return decode_exr(source, bounds)
            case Format.RADIANCE:
                from rushes_normalizer.picture_child.radiance import decode_radiance  # noqa: PLC0415 - the same

                return decode_radiance(source, bounds)
            case Format.PSD:
                return _decode_psd(source, bounds)
            case Format.PNG | Format.JPEG | Format.GIF | Format.WEBP | Format.TIFF:
                image = _open(source, known, bounds)
                return _display(image, bounds).copy_memory().autorot()
            case _:
                assert_never(known)
    except pyvips.Error as error:
        raise _refused(known, error) from None


def _open(source: Path, known: Format, bounds: Bounds) -> pyvips.Image:
    """Read the header with the loader of this format and no other, and hold the size against the bounds.

    libjpeg only warns of a broken Huffman code and fills the rest with grey, so its warnings count. Warnings of the
    others tell of unknown tags.
    """
    strict: dict[str, Any] = {"access": "sequential", "fail_on": "error"}
    name = str(source)
    match known:
        case Format.PNG:
            image = pyvips.Image.pngload(name, unlimited=True, **strict)
        case Format.JPEG:
            image = pyvips.Image.jpegload(name, unlimited=True, **strict | {"fail_on": "warning"})
        case Format.GIF:
            image = pyvips.Image.gifload(name, **_FIRST_PAGE, **strict)
        case Format.WEBP:
            image = pyvips.Image.webpload(name, **_FIRST_PAGE, **strict)
        case _:
            image = pyvips.Image.tiffload(name, unlimited=True, **_FIRST_PAGE, **strict)
    bounds.check(image.width, image.height)
    return image


def _display(image: pyvips.Image, bounds: Bounds) -> pyvips.Image:
    """8 bit sRGB of any integer image; float is scene-linear light."""
    if image.format in ("float", "double") and image.interpretation != "lab":
        from rushes_normalizer.picture_child.scene_linear import from_vips  # noqa: PLC0415 - numpy takes 0.1 s

        return from_vips(image)
    if image.format not in ("uchar", "ushort") and image.interpretation not in ("lab", "labs"):
        raise RefusedError("unsupported_codec", f"samples of the kind {image.format} are not read; 8 and 16 bit are")
    bounds.check_memory(image.width * image.height * 4)
    alpha = None
    if image.hasalpha():
        image, alpha = image[: image.bands - 1], image[image.bands - 1]
        image = image.copy()
    colours = _eight_bits(_srgb(image))
    if colours.bands < 3:
        colours = colours[0].bandjoin([colours[0], colours[0]])
    colours = colours[:3]
    return (colours if alpha is None else colours.bandjoin(_eight_bits(alpha))).copy(interpretation="srgb")


def _srgb(image: pyvips.Image) -> pyvips.Image:
    """By the embedded profile; CMYK without one by libvips' own. An RGB or grey picture without one is sRGB.

    Relative intent with black point compensation is what Photoshop does by default. A profile that is damaged or
    belongs to another kind of picture is left out.
    """
    depth = 16 if image.format == "ushort" else 8
    colours = {"intent": "relative", "black_point_compensation": True, "depth": depth}
    if image.get_typeof("icc-profile-data"):
        try:
            return image.icc_transform("srgb", embedded=True, **colours)
        except pyvips.Error:
            image = image.copy()
            image.remove("icc-profile-data")
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", input_profile="cmyk", **colours)
    if image.interpretation in ("srgb", "rgb16", "b-w", "grey16"):
        return image
    return image.colourspace("srgb")


def _eight_bits(image: pyvips.Image) -> pyvips.Image:
    """Full range to full range: 65535 is 255, to the nearest."""
    return image.linear(1 / 257, 0.5, uchar=True) if image.format == "ushort" else image


def _decode_psd(source: Path, bounds: Bounds) -> pyvips.Image:
    from rushes_normalizer.picture_child.psd import wrap_as_tiff  # noqa: PLC0415 - one format of many

    merged = wrap_as_tiff(source, _PSD_AS_TIFF, bounds)
    image = _open(_PSD_AS_TIFF, Format.TIFF, bounds)
    if merged.inverted:
        alpha = image.bands - merged.colours
        colours = image[: merged.colours].invert()
        image = colours.bandjoin(image[merged.colours :]) if alpha else colours
    drawn = _display(image, bounds).copy_memory()
    _PSD_AS_TIFF.unlink()
    return _without_white(drawn) if drawn.bands == 4 else drawn


def _without_white(image: pyvips.Image) -> pyvips.Image:
    """The colours themselves: Photoshop lays the merged picture over white, by its alpha."""
    alpha = image[3]
    colours = ((image[:3] - 255) * 255 / alpha + 255).rint().cast("uchar")  # by 0 is 0 in libvips
    return (alpha == 0).ifthenelse([0, 0, 0], colours).bandjoin(alpha).copy(interpretation="srgb").copy_memory()


def _refused(known: Format, error: pyvips.Error) -> RefusedError:
    said = " ".join(str(error.detail or error.message).split())[:200]
    lower = said.lower()
    if any(words in lower for words in _WORDS_OF_MEMORY):
        return RefusedError("limits_exceeded", f"decoding the {known} took more memory than the limit")
    if any(words in lower for words in _WORDS_OF_ABSENCE):
        return RefusedError("unsupported_codec", f"this kind of {known} is not read: {said}")
    return RefusedError("corrupt", f"the {known} cannot be decoded to its end: {said}")
