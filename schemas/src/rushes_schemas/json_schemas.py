"""Generates the JSON Schemas of all events: `python -m rushes_schemas.json_schemas FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rushes_schemas.contracts import CONTRACTS, Contract


def schema_file(contract: Contract) -> str:
    """The file name of a contract's schema, such as `preview-uploaded.v1.json`."""
    return f"{contract.name}.v{contract.major}.json"


def schema_text(contract: Contract) -> str:
    """A contract's JSON Schema (draft 2020-12), as the text of its file."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": contract.dataschema,
        "version": f"{contract.major}.{contract.minor}",
        **contract.model.model_json_schema(),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(folder: Path) -> None:
    """Write one file a contract into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for contract in CONTRACTS:
        (folder / schema_file(contract)).write_text(schema_text(contract), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
