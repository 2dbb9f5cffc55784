"""How large a picture may be."""

from __future__ import annotations

from dataclasses import dataclass

from rushes_normalizer.picture_child.refusal import RefusedError


@dataclass(frozen=True)
class Bounds:
    """Limits of a picture, held against its header.

    Attributes:
        pixels: width times height.
        side: the longer side in pixels.
        memory: bytes of address space of this process.
    """

    pixels: int
    side: int
    memory: int

    def check(self, width: int, height: int) -> None:
        """Refuse a picture of that size if it is too large, or none.

        Raises:
            RefusedError: `limits_exceeded`, or `corrupt` for a side without pixels.
        """
        if width < 1 or height < 1:
            raise RefusedError("corrupt", f"the picture says that it is {width}x{height}")
        if width * height > self.pixels or max(width, height) > self.side:
            msg = f"the picture is {width}x{height}; the limit is {self.side} a side and {self.pixels} pixels"
            raise RefusedError("limits_exceeded", msg)

    def check_memory(self, needed: int) -> None:
        """Refuse a picture whose samples would leave no quarter of the memory to the rest of the work.

        Raises:
            RefusedError: `limits_exceeded`.
        """
        if needed > self.memory * 3 // 4:
            msg = f"the picture has {needed} bytes of samples; the limit is three quarters of {self.memory}"
            raise RefusedError("limits_exceeded", msg)
