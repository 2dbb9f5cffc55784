"""The four pictures: their sizes, and ffmpeg's arguments to make them in one go. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from rushes_schemas.outputs import ObjectKind

from rushes_normalizer.media.allowlists import CONTAINERS, PICTURE_FORMATS, confined_to
from rushes_normalizer.media.command import FIRST_FRAME, PNG_ENCODER, Command
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


@dataclass(frozen=True)
class PictureSource:
    """What the pictures are made of.

    Attributes:
        path: the file.
        demuxer: ffmpeg's name of its format; nothing else is tried.
        size: size of its first frame, upright.
        ours: whether it is our own BT.709 movie; else the file's own tags are believed.
    """

    path: Path
    demuxer: str
    size: Size
    ours: bool


def picture_sizes(size: Size, limits: Limits, *, keep_original: bool) -> dict[ObjectKind, Size]:
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


def picture_command(source: PictureSource, sizes: dict[ObjectKind, Size], limits: Limits) -> Command:
    """One call from the first frame of `source` to RGBA PNGs of `sizes`."""
    matrix = "scale=in_color_matrix=bt709:in_range=tv," if source.ours else ""
    labels = "".join(f"[to_{_LABELS[kind]}]" for kind in sizes)
    chains = [f"[0:v:0]{matrix}format=rgba,split={len(sizes)}{labels}"]
    outputs: list[str] = []
    arguments = ["-hide_banner", "-nostdin", "-nostats", "-y", "-loglevel", "level+info", "-xerror"]
    arguments += [
        *confined_to((*CONTAINERS, *PICTURE_FORMATS)),
        "-f",
        source.demuxer,
        "-max_pixels",
        str(limits.max_pixels),
    ]
    arguments += ["-err_detect", "explode", "-threads", "1", "-i", f"file:{source.path}"]
    for kind, size in sizes.items():
        label = _LABELS[kind]
        chains.append(f"[to_{label}]{_fitted(kind, source.size, size)}[{label}]")
        outputs.append(NAMES[kind])
    arguments += ["-filter_complex", ";".join(chains)]
    for kind in sizes:
        arguments += ["-map", f"[{_LABELS[kind]}]", "-frames:v", "1", *PNG_ENCODER, "-pix_fmt", "rgba"]
        arguments += ["-update", "1", "-f", "image2", NAMES[kind]]
    return Command(tuple(arguments), tuple(outputs))


def _fitted(kind: ObjectKind, source: Size, size: Size) -> str:
    if kind is ObjectKind.ORIGINAL:
        return "null"
    if kind is ObjectKind.PREVIEW_PICTURE:
        return f"scale={size.width}:{size.height}:flags=bicubic,setsar=1"
    factor = min(Fraction(size.width, source.width), Fraction(size.height, source.height))
    width, height = max(1, round(source.width * factor)), max(1, round(source.height * factor))
    scale = f"scale={width}:{height}:flags=bicubic,setsar=1"
    return f"{scale},pad={size.width}:{size.height}:-1:-1:color=black@0"


def first_frame(scratch: Path, size: Size) -> PictureSource:
    """The first frame that a pass without movies has left in `scratch`."""
    return PictureSource(scratch / FIRST_FRAME, "png_pipe", size, ours=False)
