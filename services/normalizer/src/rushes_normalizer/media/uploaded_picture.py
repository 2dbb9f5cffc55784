"""The pictures of an uploaded one: drawn by a child process, and nothing that it says is believed unseen."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final

from rushes_schemas.failures import FailureCode
from rushes_schemas.outputs import ObjectKind

from rushes_normalizer import picture_child
from rushes_normalizer.media.blame import blame, clean, gist
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.plan import Size
from rushes_normalizer.media.process import ChildError, run
from rushes_normalizer.media.stills import NAMES, PREVIEW_WIDTH, SQUARE_THUMBNAIL, THUMBNAIL

_PROGRAM: Final = Path(picture_child.__file__).parent
# This Python, its libraries and the folder that holds this package: all that the child may read beside the picture.
# Of the folders that Python names, that of its headers is often not there.
_PYTHON: Final = tuple(
    Path(folder) for folder in {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()} if Path(folder).is_dir()
)
_READS: Final = (*_PYTHON, _PROGRAM.parents[1])
_REFUSALS: Final = frozenset(
    {
        FailureCode.NOT_A_MOVIE,
        FailureCode.UNSUPPORTED_CODEC,
        FailureCode.CORRUPT,
        FailureCode.LIMITS_EXCEEDED,
    }
)
# glib, which libvips stands on, aborts the process when memory ends.
_GLIB_OUT_OF_MEMORY: Final = "failed to allocate"


async def draw_pictures(source: Path, scratch: Path, *, keep_original: bool, limits: Limits) -> Size:
    """Write the PNGs of an upload into `scratch`, under `stills.NAMES`, and give its upright size.

    Args:
        source: what was uploaded; its content says which format it has, not its name.
        keep_original: the upload serves as the original picture, so that one is not made.

    Raises:
        MediaError: with the failure code that follows.
    """
    task = {
        "source": str(source.resolve()),
        "max_pixels": limits.max_pixels,
        "max_side": limits.max_side,
        "max_memory": limits.max_memory_bytes,
        "threads": limits.threads,
        "original": None if keep_original else NAMES[ObjectKind.ORIGINAL],
        "scaled": (NAMES[ObjectKind.PREVIEW_PICTURE], PREVIEW_WIDTH),
        "fitted": {
            NAMES[kind]: (box.width, box.height)
            for kind, box in ((ObjectKind.THUMBNAIL, THUMBNAIL), (ObjectKind.SQUARE_THUMBNAIL, SQUARE_THUMBNAIL))
        },
    }
    argv = [sys.executable, "-I", str(_PROGRAM), json.dumps(task)]
    lines: list[str] = [""]

    def keep_last(line: str) -> None:
        lines[0] = line  # libraries may chat before the answer

    try:
        await run(argv, scratch=scratch, limits=limits, reads=(source, *_READS), on_line=keep_last)
    except ChildError as failed:
        if any(_GLIB_OUT_OF_MEMORY in line for line in failed.log.last):
            msg = "decoding the picture took more memory than the limit"
            raise MediaError(FailureCode.LIMITS_EXCEEDED, msg, said=gist(failed.log)) from failed
        raise blame(failed, "drawing the pictures") from failed
    return _size_of(lines[0])


def _size_of(answer: str) -> Size:
    """The size in the child's answer; a child that a picture has taken over may say anything."""
    try:
        said: Any = json.loads(answer)
    except ValueError:
        said = None
    match said:
        case {"width": int(width), "height": int(height)} if width > 0 and height > 0:
            return Size(width, height)
        case {"refused": str(code), "message": str(message)} if code in _REFUSALS:
            raise MediaError(FailureCode(code), clean(message.replace("\n", " ")))
        case _:
            raise MediaError(FailureCode.INTERNAL, "the child that draws pictures gave no answer that can be read")
