"""Several coroutines at once, of which one failure is enough."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


async def together(*works: Coroutine[Any, Any, Answer]) -> list[Answer]:
    """Run all at once; their answers in order.

    When one fails the others are cancelled and awaited, and its own error goes on, without the group around it.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failures:
        error: Exception = failures
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    return [task.result() for task in tasks]
