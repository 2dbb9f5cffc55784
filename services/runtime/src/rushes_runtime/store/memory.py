"""The memory that transfers may hold at once."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Final

TRANSFER_MEMORY: Final = 20 << 20  # bytes, for all transfers to one store


class Memory:
    """Bytes that are lent to whoever asks first.

    Whoever holds some must be able to go on without asking for more before it gives them back. One who asks for more
    than there is gets all of it, alone.
    """

    def __init__(self, total: int = TRANSFER_MEMORY) -> None:
        self._total = total
        self._free = total
        self._buffers: list[BytesIO] = []
        self._changed = asyncio.Condition()

    async def borrow(self, size: int) -> int:
        """Wait for so many bytes; how many to give back."""
        size = min(size, self._total)
        async with self._changed:
            await self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        return size

    async def give_back(self, size: int) -> None:
        """Bytes that were borrowed are free again."""
        async with self._changed:
            self._free += size
            self._changed.notify_all()

    def buffer(self) -> BytesIO:
        """A buffer to fill from its beginning, for memory that was borrowed. It may hold older bytes behind that."""
        return self._buffers.pop() if self._buffers else BytesIO()

    def reuse(self, buffer: BytesIO) -> None:
        """A buffer that nobody reads any more: many that grew anew, each time, would leave holes in memory."""
        buffer.seek(0)
        self._buffers.append(buffer)
