"""What the command lines of all services share."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, NoReturn

import typer
from pydantic_settings import BaseSettings
from rich.console import Console

from rushes_runtime.logs import configure_logs
from rushes_runtime.settings import RuntimeSettings, SettingsError, SettingsModel, load_settings
from rushes_runtime.wiring import ROLES

errors = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """Say on stderr what is wrong and what to do, and end with a code."""
    errors.print(message, markup=False)
    raise typer.Exit(code)


def settings_or_exit(model: type[SettingsModel]) -> SettingsModel:
    """The settings; wrong ones end the process with code 2 and a line each."""
    try:
        settings = load_settings(model)
    except SettingsError as error:
        fail(str(error), 2)
    if isinstance(settings, RuntimeSettings):
        configure_logs(settings.log_level, settings.log_format)
    return settings


def roles_or_exit(roles: str) -> frozenset[str]:
    """The roles named in `intake,worker,…`."""
    chosen = frozenset(part.strip() for part in roles.split(",") if part.strip())
    unknown = chosen - set(ROLES)
    if unknown or not chosen:
        fail(f"--roles takes {', '.join(ROLES)}, separated by commas; not {roles!r}", 2)
    return chosen


def run_async(main: Coroutine[Any, Any, int | None]) -> None:
    """Run a command's coroutine; what it returns is the exit code."""
    code = asyncio.run(main)
    if code:
        raise typer.Exit(code)


def print_json(value: Any) -> None:
    """Print one JSON value on stdout."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def settings_table(model: type[BaseSettings]) -> str:
    """A settings model as a Markdown table, for the documentation."""
    from rushes_runtime.settings import describe_settings  # noqa: PLC0415

    rows: Sequence[str] = [
        f"| `{variable}` | {_default(field)} | {field.description or ''} |"
        for variable, field in describe_settings(model)
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def _default(field: Any) -> str:
    if field.is_required():
        return "**required**"
    return "" if field.default is None or field.default == "" else f"`{field.default}`"
