"""The start of a command: nearly all of its time goes into imports."""

from __future__ import annotations

import gc
from importlib import import_module


def start(command_line: str) -> None:
    """Import a command line and run it.

    The garbage collector waits meanwhile: none of what is imported goes, and it would look through all of it a dozen
    times, for an eighth of the time.

    Args:
        command_line: the module that has the Typer app, as `app`.
    """
    gc.disable()
    app = import_module(command_line).app
    gc.freeze()
    gc.enable()
    app()
