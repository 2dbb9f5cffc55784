"""The whole movies and pictures that are damaged: tiny, in many containers and codecs, each a second's work or less."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.movies import ffmpeg

FRAMES: Final = 10
_SIZE: Final = "64x48"
_VIDEO: Final = ("-f", "lavfi", "-i", f"testsrc2=size={_SIZE}:rate=25,format=yuv420p")
_SOUND: Final = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")
_SILENT: Final[dict[str, tuple[str, ...]]] = {
    "h264.mp4": ("-c:v", "libx264", "-bf", "2", "-g", "5"),
    "h264.mkv": ("-c:v", "libx264", "-bf", "2", "-g", "5"),
    "h264.ts": ("-c:v", "libx264", "-g", "5"),
    "mpeg4.avi": ("-c:v", "mpeg4"),
    "mjpeg.avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "ffv1.mkv": ("-c:v", "ffv1", "-level", "3", "-slicecrc", "1"),
    "png.mov": ("-c:v", "png", "-pix_fmt", "rgba"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime"),
    "mpeg2.mxf": ("-c:v", "mpeg2video"),
}
_WITH_SOUND: Final[dict[str, tuple[str, ...]]] = {
    "h264-faststart.mp4": ("-c:v", "libx264", "-c:a", "aac", "-movflags", "+faststart"),
    "fragmented.mp4": ("-c:v", "libx264", "-g", "5", "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"),
    "prores.mov": ("-c:v", "prores_ks", "-c:a", "pcm_s16le"),
    "mpeg2.mpg": ("-c:v", "mpeg2video", "-c:a", "mp2", "-f", "vob"),
}
_PICTURES: Final[dict[str, tuple[str, ...]]] = {
    "rgb.png": ("-pix_fmt", "rgb24"),
    "rgba.png": ("-pix_fmt", "rgba"),
    "photo.jpg": ("-pix_fmt", "yuvj420p", "-q:v", "3"),
    "animation.gif": (),
}


@dataclass(frozen=True)
class Whole:
    """A source before it is damaged.

    Attributes:
        name: its file name.
        content: its bytes.
        is_picture: whether it goes through `make_picture`.
    """

    name: str
    content: bytes
    is_picture: bool


def make_sources(folder: Path) -> list[Whole]:
    """Make them all in `folder`, in an order that stays."""
    wholes = []
    for name, options in _SILENT.items():
        ffmpeg(*_VIDEO, "-frames:v", str(FRAMES), *_exact(options), folder / name)
        wholes.append(Whole(name, (folder / name).read_bytes(), is_picture=False))
    for name, options in _WITH_SOUND.items():
        ffmpeg(*_VIDEO, *_SOUND, "-frames:v", str(FRAMES), "-t", "0.4", *_exact(options), folder / name)
        wholes.append(Whole(name, (folder / name).read_bytes(), is_picture=False))
    for name, options in _PICTURES.items():
        ffmpeg(*_VIDEO, "-frames:v", "3" if name.endswith("gif") else "1", *_exact(options), folder / name)
        wholes.append(Whole(name, (folder / name).read_bytes(), is_picture=True))
    return wholes


def _exact(options: tuple[str, ...]) -> tuple[str, ...]:
    """The same bytes each time, so that a seed and a number say which file it was."""
    return ("-threads", "1", "-flags", "+bitexact", "-fflags", "+bitexact", *options)
