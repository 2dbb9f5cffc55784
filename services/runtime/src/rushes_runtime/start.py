"""The start of a command."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from importlib import import_module
from typing import Final

_M_ARENA_MAX: Final = -8  # of glibc's malloc.h


def start(command_line: str) -> None:
    """Import a command line and run it.

    Nearly all of the start is imports. The garbage collector waits meanwhile: none of what comes goes, and it would
    look through all of it a dozen times, for an eighth of the time.

    Args:
        command_line: the module that has the Typer app, as `app`.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        _share_memory()
    gc.disable()
    app = import_module(command_line).app
    gc.freeze()
    gc.enable()
    app()


def _share_memory() -> None:
    """Let all threads allocate from one arena; one for each holds what it never gives to others."""
    with suppress(AttributeError, OSError):  # a C library that has no arenas
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
