"""The four pictures of a preview: their sizes, and the filters that make them of one frame. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from rushes_schemas.outputs import ObjectKind

from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.plan import Size

THUMBNAIL: Final = Size(150, 100)
SQUARE_THUMBNAIL: Final = Size(100, 100)
PREVIEW_WIDTH: Final = 1200

NAMES: Final = {
    ObjectKind.ORIGINAL: "original.png",
    ObjectKind.THUMBNAIL: "thumbnail.png",
    ObjectKind.SQUARE_THUMBNAIL: "square_thumbnail.png",
    ObjectKind.PREVIEW_PICTURE: "preview_picture.png",
}
_LABELS: Final = {
    ObjectKind.ORIGINAL: "original",
    ObjectKind.THUMBNAIL: "thumbnail",
    ObjectKind.SQUARE_THUMBNAIL: "square",
    ObjectKind.PREVIEW_PICTURE: "preview",
}
# Level 3 with a predictor for each row is as small as zlib's default without one to within 5 %, in half the time.
_PNG_ENCODER: Final = ("-c:v", "png", "-compression_level", "3", "-pred", "mixed")


def picture_sizes(size: Size, limits: Limits, *, keep_original: bool = False) -> dict[ObjectKind, Size]:
    """The size of each picture that is made of one of `size`; bars fill what a thumbnail's picture leaves."""
    height = max(1, round(Fraction(PREVIEW_WIDTH) / size.ratio))
    preview = Size(PREVIEW_WIDTH, height)
    if height > limits.max_side:  # a strip so tall that 1200 wide would be absurd
        preview = Size(max(1, round(limits.max_side * size.ratio)), limits.max_side)
    sizes = {
        ObjectKind.ORIGINAL: size,
        ObjectKind.THUMBNAIL: THUMBNAIL,
        ObjectKind.SQUARE_THUMBNAIL: SQUARE_THUMBNAIL,
        ObjectKind.PREVIEW_PICTURE: preview,
    }
    if keep_original:
        del sizes[ObjectKind.ORIGINAL]
    return sizes


def stills_chains(frame: str, source: Size, sizes: Mapping[ObjectKind, Size]) -> list[str]:
    """Filter chains from one frame of `source`'s size to a pad for each picture.

    Args:
        frame: a pad with the filters that make RGB of it: `[still]trim=end_frame=1,format=rgb24`.
    """
    pads = "".join(f"[to_{_LABELS[kind]}]" for kind in sizes)
    chains = [f"{frame},split={len(sizes)}{pads}"]
    for kind, size in sizes.items():
        chains.append(f"[to_{_LABELS[kind]}]{_fitted(kind, source, size)}[{_LABELS[kind]}]")
    return chains


def stills_outputs(sizes: Mapping[ObjectKind, Size]) -> list[str]:
    """The arguments that write the pads of `stills_chains` into the files of `NAMES`."""
    arguments = []
    for kind in sizes:
        barred = kind in (ObjectKind.THUMBNAIL, ObjectKind.SQUARE_THUMBNAIL)
        arguments += png_output(f"[{_LABELS[kind]}]", NAMES[kind], "rgba" if barred else "rgb24")
    return arguments


def png_output(pad: str, name: str, pixel_format: str) -> list[str]:
    """The arguments that write one frame as a PNG."""
    single = ("-frames:v", "1", *_PNG_ENCODER, "-pix_fmt", pixel_format, "-update", "1", "-f", "image2")
    return ["-map", pad, *single, name]


def _fitted(kind: ObjectKind, source: Size, size: Size) -> str:
    if kind is ObjectKind.ORIGINAL:
        return "null"
    if kind is ObjectKind.PREVIEW_PICTURE:
        return f"scale={size.width}:{size.height}:flags=bicubic,setsar=1"
    factor = min(Fraction(size.width, source.width), Fraction(size.height, source.height))
    width, height = max(1, round(source.width * factor)), max(1, round(source.height * factor))
    scale = f"scale={width}:{height}:flags=bicubic,setsar=1"
    return f"{scale},format=rgba,pad={size.width}:{size.height}:-1:-1:color=black@0"
