"""The types for web clients, by the TypeScript compiler: with a client, and with what Rushes really says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

from rushes_schemas import Preview, StatusChanged

from tests.contracts.node_tools import NODE, installed_by_npm, needs_node
from tests.unit.schemas.event_samples import PAYLOADS, PREVIEW_ID
from tests.unit.schemas.test_preview_shapes import ROW

TYPES = Path(__file__).parents[2] / "schemas" / "typescript" / "rushes.ts"
USAGE = Path(__file__).parent / "typescript" / "usage.ts"


def compiled(folder: Path, *sources: Path, **values: tuple[str, Any]) -> list[str]:
    """The compiler's complaints of files and of values, each with the type that it should have."""
    for source in (TYPES, *sources):
        shutil.copy(source, folder)
    types = ", ".join(sorted({kind for kind, _ in values.values()}))
    lines = [f"export const {name}: {kind} = {json.dumps(value)};" for name, (kind, value) in values.items()]
    (folder / "values.ts").write_text("\n".join([f'import type {{ {types} }} from "./rushes";', *lines, ""]))
    options = {"strict": True, "noEmit": True, "target": "es2022", "module": "esnext", "moduleResolution": "bundler"}
    (folder / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": {**options, "types": []}, "include": ["*.ts"]})
    )
    tsc = installed_by_npm("contracts-node", NODE) / "node_modules" / ".bin" / "tsc"
    ran = subprocess.run([tsc, "--project", folder, "--pretty", "false"], capture_output=True, text=True, check=False)
    assert (ran.returncode == 0) == (not ran.stdout), f"{ran.stdout}{ran.stderr}"
    return ran.stdout.splitlines()


def said() -> dict[str, tuple[str, Any]]:
    """What Rushes says and takes, each with its type. In a literal no field may be lacking, and none too many."""
    full = Preview(**ROW)
    bare = Preview(id=UUID(PREVIEW_ID), status="archived")
    event = StatusChanged.model_validate(PAYLOADS["status-changed"])
    fewest = {
        name: PAYLOADS["status-changed"][name]
        for name, field in StatusChanged.model_fields.items()
        if field.is_required()
    }
    return {
        "full": ("PreviewFile", full.serialize()),
        "bare": ("PreviewFile", bare.serialize()),
        "listed": ("PresentedPreview", full.present()),
        "played": ("MinimalPreview", full.present_minimal()),
        "changed": ("StatusChange", event.exposed(expose_missing=True)),
        "barely": ("StatusChange", StatusChanged.model_validate(fewest).exposed()),
        "uploaded": ("PreviewUploaded", PAYLOADS["preview-uploaded"]),
        "deleted": ("PreviewDeleted", PAYLOADS["preview-deleted"]),
        "again": ("RenormalizeRequested", PAYLOADS["renormalize-requested"]),
    }


@needs_node
def test_a_client_and_all_that_rushes_says_compile(tmp_path: Path) -> None:
    assert compiled(tmp_path, USAGE, **said()) == []


@needs_node
def test_a_field_that_is_lacking_or_too_many_is_seen(tmp_path: Path) -> None:
    kind, shape = said()["listed"]
    lacking = {name: value for name, value in shape.items() if name != "token_in"}
    complaints = compiled(tmp_path, lacking=(kind, lacking), many=(kind, {**shape, "mood": "grim"}))
    assert len(complaints) == 2
    assert "token_in" in complaints[0]
    assert "mood" in complaints[1]
