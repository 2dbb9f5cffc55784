"""One task, one answer: decode, draw, and say which size it was or why it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from rushes_normalizer.picture_child.bounds import Bounds
from rushes_normalizer.picture_child.decode import decode
from rushes_normalizer.picture_child.draw import draw
from rushes_normalizer.picture_child.formats import HEAD_BYTES, picture_format
from rushes_normalizer.picture_child.refusal import RefusedError


class Task(TypedDict):
    """What the parent asks for.

    Attributes:
        source: path of the upload.
        max_pixels: as in `Bounds`, like the two that follow.
        max_side: see there.
        max_memory: see there.
        threads: of each library; 0 takes what the machine has.
        original: name of a PNG of the upload's own size, or None.
        scaled: name and width of a PNG in the upload's ratio.
        fitted: names of PNGs of a fixed size, and that size; transparent bars fill what the picture leaves.
    """

    source: str
    max_pixels: int
    max_side: int
    max_memory: int
    threads: int
    original: str | None
    scaled: tuple[str, int]
    fitted: dict[str, tuple[int, int]]


def answer(task: Task) -> dict[str, int | str]:
    """Draw the pictures of a task into the working folder.

    Returns:
        `width` and `height` of the upload, upright; or `refused`, a failure code, and `message`.
    """
    bounds = Bounds(task["max_pixels"], task["max_side"], task["max_memory"])
    source = Path(task["source"])
    try:
        with source.open("rb") as file:
            known = picture_format(file.read(HEAD_BYTES))
        image = decode(source, known, bounds)
    except RefusedError as refused:
        return {"refused": refused.code, "message": refused.message}
    except MemoryError:
        return {"refused": "limits_exceeded", "message": f"decoding the {known} took more memory than the limit"}
    draw(image, task["original"], task["scaled"], task["fitted"], bounds)
    return {"width": image.width, "height": image.height}
