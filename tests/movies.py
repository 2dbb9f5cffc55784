"""Small movies whose frames carry their number as black and white blocks, and readers of what became of them."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from rushes_embedded.cache import cache_folder, made_once
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.make import Made, make_movie
from rushes_normalizer.media.tools import Tools, find_tools
from rushes_schemas.encoding import Encoding
from rushes_schemas.outputs import ObjectKind

Pixels = npt.NDArray[np.uint8]

BITS = 8
SMALL = EncodingDefaults(height=180, lowdef_width=320, highdef_bitrate="4M", lowdef_bitrate="2M")


@cache
def tools() -> Tools:
    """The programs that the product uses."""
    return find_tools()


def ffmpeg(*arguments: str | Path, pixels: bytes | None = None) -> bytes:
    """Run ffmpeg and give its stdout; its complaint fails the test."""
    done = subprocess.run(
        [tools().ffmpeg, "-v", "error", "-y", *arguments], input=pixels, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def encoded(path: Path, *arguments: str | Path, pixels: bytes | None = None) -> Path:
    """Encode an input of a test; a copy of an earlier run's, if the recipe, its files and ffmpeg are the same.

    Args:
        path: where the input goes; its name's end chooses the container.
        arguments: ffmpeg's, without the output.
    """
    recipe = hashlib.sha256(tools().ffmpeg_version.encode() + (pixels or b""))
    for argument in arguments:
        assert isinstance(argument, Path) or not argument.startswith("/"), f"pass {argument} as a Path, for its content"
        recipe.update(b"\0" + (argument.read_bytes() if isinstance(argument, Path) else argument.encode()))

    def encode(folder: Path) -> None:
        folder.mkdir()
        ffmpeg(*arguments, folder / f"input{path.suffix}", pixels=pixels)

    place = cache_folder() / "test-inputs" / f"{recipe.hexdigest()[:32]}{path.suffix}"
    shutil.copyfile(made_once(place, encode) / f"input{path.suffix}", path)
    return path


def make_clip(path: Path, size: str = "160x90", *, rate: int = 25, seconds: float = 1) -> Path:
    """A small movie of which only that it is one matters."""
    return encoded(
        path, "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}", "-pix_fmt", "yuv420p"
    )


def numbered(frames: int, width: int = 320, height: int = 180) -> bytes:
    """Gray frames; each shows its number in eight blocks from left to right, the lowest bit first."""
    edges = np.linspace(0, width, BITS + 1).astype(int)
    all_frames = np.zeros((frames, height, width), np.uint8)
    for number in range(frames):
        for bit in range(BITS):
            all_frames[number, :, edges[bit] : edges[bit + 1]] = 235 if number >> bit & 1 else 16
    return all_frames.tobytes()


def movie(
    path: Path,
    *output: str | Path,
    frames: int = 20,
    rate: str = "25",
    width: int = 320,
    height: int = 180,
    inputs: tuple[str | Path, ...] = (),
    sound: tuple[str, ...] = (),
) -> Path:
    """A numbered movie.

    Args:
        output: options of the output.
        inputs: further inputs.
        sound: an endless input, cut where the movie ends (`-shortest` cuts it a little later each time).
    """
    raw = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", rate, "-i", "pipe:0")
    cut = ("-t", str(float(frames / Fraction(rate)))) if sound else ()
    pixels = numbered(frames, width, height)
    return encoded(path, *raw, *inputs, *sound, "-pix_fmt", "yuv420p", *output, *cut, pixels=pixels)


def numbers(path: Path, *, turned: bool = False) -> list[int]:
    """The number that each frame of a movie shows; `turned` if its blocks run from top to bottom."""
    raw = ffmpeg("-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-vf", "scale=64:64", "-pix_fmt", "gray",
                 "-f", "rawvideo", "-")  # fmt: skip
    frames = np.frombuffer(raw, np.uint8).reshape(-1, 64, 64)
    rows = frames[:, 4::8, 32] if turned else frames[:, 32, 4::8]
    return [sum(1 << bit for bit in range(BITS) if row[bit] > 127) for row in rows]


def frame(path: Path, number: int = 0, mode: str = "RGB") -> Pixels:
    """One frame of a movie or picture as height x width x channels, decoded by its own tags."""
    png = ffmpeg("-i", path, "-map", "0:v:0", "-vf", f"select=eq(n\\,{number})", "-frames:v", "1",
                 "-c:v", "png", "-f", "image2pipe", "-")  # fmt: skip
    return pixels_of(io.BytesIO(png), mode)


def pixels_of(picture: Path | io.BytesIO, mode: str) -> Pixels:
    """A picture as height x width x channels, in a mode of Pillow's."""
    with Image.open(picture) as opened:
        array = np.asarray(opened.convert(mode))
    return array if array.ndim == 3 else array[:, :, None]


def probe(path: Path, entries: str, streams: str = "v:0") -> list[str]:
    """What ffprobe says of a stream, in the order of ffprobe."""
    done = subprocess.run(
        [tools().ffprobe, "-v", "error", "-select_streams", streams, "-show_entries", entries, "-of", "csv=p=0", path],
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip().split(",")


async def make(
    source: Path,
    *,
    encoding: Encoding | None = None,
    defaults: EncodingDefaults = SMALL,
    limits: Limits | None = None,
    decode_all: bool = False,
) -> Made:
    """Make the outputs of a movie in a folder beside it."""
    scratch = source.with_name(f"{source.name}.scratch")
    scratch.mkdir()
    return await make_movie(
        tools(),
        source,
        scratch,
        encoding=encoding or Encoding(),
        defaults=defaults,
        limits=limits or Limits(),
        progress=lambda _stage, _fraction: None,
        decode_all=decode_all,
    )


def of(made: Made, kind: ObjectKind) -> Path:
    """The one output of a kind."""
    (path,) = [output.path for output in made.outputs if output.kind is kind]
    return path
