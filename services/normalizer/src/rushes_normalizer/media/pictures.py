"""Pictures of an uploaded picture: ffmpeg's arguments to make them in one go. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rushes_schemas.outputs import ObjectKind

from rushes_normalizer.media.allowlists import CONTAINERS, PICTURE_FORMATS, confined_to
from rushes_normalizer.media.command import Command
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.plan import Size
from rushes_normalizer.media.stills import NAMES, stills_chains, stills_outputs


@dataclass(frozen=True)
class PictureSource:
    """What the pictures are made of.

    Attributes:
        path: the file.
        demuxer: ffmpeg's name of its format; nothing else is tried.
        size: size of its first frame.
    """

    path: Path
    demuxer: str
    size: Size


def picture_command(source: PictureSource, sizes: dict[ObjectKind, Size], limits: Limits) -> Command:
    """One call from the first frame of `source` to RGBA PNGs of `sizes`."""
    arguments = ["-hide_banner", "-nostdin", "-nostats", "-y", "-loglevel", "level+info", "-xerror"]
    arguments += [
        *confined_to((*CONTAINERS, *PICTURE_FORMATS)),
        "-f",
        source.demuxer,
        "-max_pixels",
        str(limits.max_pixels),
    ]
    arguments += ["-err_detect", "explode", "-threads", "1", "-i", f"file:{source.path}"]
    arguments += ["-filter_complex", ";".join(stills_chains("[0:v:0]format=rgba", source.size, sizes))]
    arguments += stills_outputs(sizes)
    return Command(tuple(arguments), tuple(NAMES[kind] for kind in sizes))
