"""`rushes-schemas check OLD NEW`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rushes_schemas.compatibility.keywords import Schema
from rushes_schemas.compatibility.verdicts import Compatibility, Verdict, verdict

_EPILOG = """\
results: full (backward and forward), backward (new readers read what old writers wrote), forward (old readers read
what new writers write), none, added. Exit code 0: each result is what --require asks for, and what changed has a
version of its own; 1: it is not; 2: the schemas cannot be read.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="rushes-schemas", description="The schemas of Rushes' events.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="compare two versions of schemas, field by field", epilog=_EPILOG)
    check.add_argument("old", type=Path, metavar="OLD", help="a JSON Schema, or a folder of them")
    check.add_argument("new", type=Path, metavar="NEW", help="the same, in a later version")
    wanted = [Compatibility.FULL, Compatibility.BACKWARD, Compatibility.FORWARD]
    check.add_argument("--require", choices=[str(each) for each in wanted], default="full", help="default: %(default)s")
    check.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    given = parser.parse_args(arguments)
    try:
        verdicts = compare(given.old, given.new)
    except (OSError, ValueError) as error:
        print(f"rushes-schemas: {error}", file=sys.stderr)
        return 2
    required = Compatibility(given.require)
    if given.json:
        print(json.dumps([each.as_json() for each in verdicts], indent=2))
    else:
        print("\n".join(line for each in verdicts for line in _lines(each)))
    return 0 if all(each.result.covers(required) and not each.unversioned for each in verdicts) else 1


def compare(old: Path, new: Path) -> list[Verdict]:
    """The verdict of each schema: two files against each other, or two folders' files by their names.

    Raises:
        OSError: a file or folder cannot be read.
        ValueError: what is there is no JSON Schema, or nothing is there.
    """
    if old.is_dir() != new.is_dir():
        msg = "give two files or two folders"
        raise ValueError(msg)
    if not old.is_dir():
        return [verdict(new.stem, _read(old), _read(new))]
    before, after = _read_all(old), _read_all(new)
    return [verdict(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]


def _read_all(folder: Path) -> dict[str, Schema]:
    found = {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}
    if not found:
        msg = f"{folder} holds no *.json"
        raise ValueError(msg)
    return found


def _read(path: Path) -> Schema:
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"{path}: {error}"
        raise ValueError(msg) from None
    if not isinstance(schema, dict):
        msg = f"{path} is no JSON Schema"
        raise ValueError(msg)
    return schema


def _lines(found: Verdict) -> list[str]:
    versions = f"{found.old or 'no $id'} → {found.new or 'no $id'}"
    lines = [f"{found.name}: {found.result} ({versions})", *(f"  {each.sentence}" for each in found.breaks)]
    if found.unversioned:
        lines.append("  it changed, and its $id did not: raise the minor version")
    return lines
