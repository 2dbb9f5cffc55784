"""The reference parser of Compose files, built once into the user's cache."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rushes_embedded.cache import cache_folder

from tests.cache import installed_by_go

_VERSION: Final = "2.16.2"
_VARIABLE: Final = re.compile(r"\$\{(?P<name>\w+):(?P<form>[-?])(?P<words>[^}]*)\}")
_MODULE: Final = f"github.com/compose-spec/compose-go/v2/cmd@v{_VERSION}"


def find_parser() -> str | None:
    """None if Compose files can be parsed here, or else what is missing, in words."""
    if not _program().exists() and shutil.which("go") is None:
        return "no go on the PATH to build the Compose specification's parser with, and it was not built before"
    return None


def parse(file: Path, values: Mapping[str, str]) -> dict[str, Any]:
    """The model of a Compose file: it fits the specification's schema, and all that it refers to is there.

    The parser's command sees no variables, so they are put in before.

    Raises:
        ValueError: a variable is not given, or the parser refuses or warns; with the words for it.
        StartError: the parser cannot be built.
    """
    program = installed_by_go(_MODULE, _program().parent) / "cmd"
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / file.name
        filled.write_text(_fill(file.read_text(encoding="utf-8"), values), encoding="utf-8")
        ran = subprocess.run(
            [program, "--format=json", filled], cwd=folder, capture_output=True, text=True, check=False
        )
    if ran.returncode or ran.stderr:
        raise ValueError(ran.stderr)
    model: dict[str, Any] = json.loads(ran.stdout)
    return model


def _fill(text: str, values: Mapping[str, str]) -> str:
    def value(variable: re.Match[str]) -> str:
        name, form, words = variable["name"], variable["form"], variable["words"]
        if not values.get(name) and form == "?":
            msg = f"{name} is not given: {words}"
            raise ValueError(msg)
        return values.get(name) or words

    return _VARIABLE.sub(value, text)


def _program() -> Path:
    return cache_folder() / f"compose-spec-{_VERSION}" / "cmd"
