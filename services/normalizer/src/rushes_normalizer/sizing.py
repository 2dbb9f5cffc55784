"""Which sources are work for a large machine."""

from __future__ import annotations

from dataclasses import dataclass

from rushes_runtime.ledger import Takes
from rushes_runtime.worker import TooLargeError


@dataclass(frozen=True)
class LargeFrom:
    """From what on a source is large: any of these. None leaves one out.

    Attributes:
        bytes: of the source.
        pixels: of a movie's frame, as it is stored.
    """

    bytes: int | None = None
    pixels: int | None = None

    def has_bytes(self, size: int | None) -> bool:
        """Whether a source is large by its bytes; by an unknown number it is not."""
        return self.bytes is not None and size is not None and size >= self.bytes

    def has_pixels(self, width: int, height: int) -> bool:
        """Whether a movie is large by its frame."""
        return self.pixels is not None and width * height >= self.pixels


@dataclass(frozen=True)
class SizeCheck:
    """What a worker that leaves large sources to others asks as soon as it knows more of one."""

    takes: Takes
    large_from: LargeFrom

    def bytes(self, size: int) -> None:
        """The source's size is known.

        Raises:
            TooLargeError: it is for another worker.
        """
        if self.takes is Takes.ORDINARY and self.large_from.has_bytes(size):
            msg = f"{size} bytes; LARGE_FROM_BYTES is {self.large_from.bytes}"
            raise TooLargeError(msg)

    def frame(self, width: int, height: int) -> None:
        """The size of a movie's frame is known.

        Raises:
            TooLargeError: it is for another worker.
        """
        if self.takes is Takes.ORDINARY and self.large_from.has_pixels(width, height):
            msg = f"frames of {width}x{height}; LARGE_FROM_PIXELS is {self.large_from.pixels}"
            raise TooLargeError(msg)
