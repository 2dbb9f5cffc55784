"""The publishers of `examples/`, run as their readers run them: in a folder of their own, with the language's tools."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.contracts.node_tools import installed_by_npm

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "publishers"
_PATIENCE: Final = 300.0  # seconds; the first time, compilers and libraries are fetched


@dataclass(frozen=True)
class Publisher:
    """A program that announces one upload.

    Attributes:
        tools: programs that it needs on the PATH.
        command: of the folder that it runs in, and its arguments.
    """

    language: str
    tools: tuple[str, ...]
    command: Callable[[Path, Sequence[str]], list[str]]

    @property
    def lacking(self) -> str | None:
        """What is not there to run it with, in words."""
        return next((f"no {tool} on the PATH" for tool in self.tools if not shutil.which(tool)), None)

    async def publish(self, folder: Path, brokers: str, topic: str, preview_id: str, extension: str) -> str:
        """Run it in a copy of its example below `folder`; the event id that it prints."""
        place = folder / self.language
        if not place.exists():
            await asyncio.to_thread(shutil.copytree, EXAMPLES / self.language, place)
        command = self.command(place, [brokers, topic, preview_id, extension])
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=place,
            env={**os.environ, "GOFLAGS": "-mod=readonly"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), _PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, f"{out.decode()}{err.decode()}"
        return re.sub(r"\x1b\[\d*m", "", out.decode()).strip()  # Maven resets the terminal's colours beside it


def _python(folder: Path, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, str(folder / "publish.py"), *arguments]


def _java(_: Path, arguments: Sequence[str]) -> list[str]:
    return [
        "mvn",
        "--batch-mode",
        "--quiet",
        "-Dstyle.color=never",
        "compile",
        "exec:java",
        f"-Dexec.args={' '.join(arguments)}",
    ]


def _go(_: Path, arguments: Sequence[str]) -> list[str]:
    return ["go", "run", "-trimpath", ".", *arguments]


def _node(folder: Path, arguments: Sequence[str]) -> list[str]:
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(installed_by_npm("publisher-node", folder) / "node_modules")
    return ["node", "publish.mjs", *arguments]


def _kcat(_: Path, arguments: Sequence[str]) -> list[str]:
    return ["./publish.sh", *arguments]


PUBLISHERS: Final = (
    Publisher("python", (), _python),
    Publisher("java", ("java", "mvn"), _java),
    Publisher("go", ("go",), _go),
    Publisher("node", ("node", "npm"), _node),
    Publisher("kcat", ("kcat",), _kcat),
)
