"""The read API against its own document: schemathesis asks what it allows, and what it does not."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from rushes_schemas import FailureCode, PreviewStatus

from tests.cache import programs_of
from tests.integration.api.consumer import ALL, PROJECT, served
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.world import World

_FOLDER: Final = Path(__file__).parent
_DOCUMENT: Final = _FOLDER.parents[1] / "docs" / "openapi.json"
# Most of the ids that are asked for exist. What an encoder may be asked for has bounds that no pattern says (a rate of
# 1 to 240 frames a second): so the call that carries it may be refused although its schema allows it.
_SETTINGS: Final = """
[dictionaries.previews]
values = {ids}

[parameters]
"path.preview_file_id" = {{ dictionary = "previews", probability = 0.7 }}

[[operations]]
include-path = "/previews/{{preview_file_id}}/renormalize"
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "422"]
"""


def _settings(folder: Path, ids: Sequence[UUID]) -> str:
    path = folder / "schemathesis.toml"
    path.write_text(_SETTINGS.format(ids=json.dumps([str(each) for each in ids])))
    return str(path)


async def test_the_api_answers_as_its_document_says(world: World, tmp_path: Path) -> None:
    rows = [
        kept_preview(status, project_id=PROJECT, name="sq010", revision=2, failure_code=code)
        for status in PreviewStatus
        for code in (None, FailureCode.CORRUPT.value)
    ]
    program = programs_of("schemathesis", _FOLDER / "schemathesis.lock") / "schemathesis"
    options = [
        *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "50", "--seed", "1"),
        *("--checks", "all", "--header", f"Authorization: Bearer {ALL}"),
        # It has no end; tests/integration/api listens to it.
        *("--exclude-path", "/status-changes"),
        *("--request-timeout", "20", "--generation-database", "none", "--no-color"),
    ]
    plenty = {"API_REQUESTS_PER_MINUTE": "1000000", "API_BURST": "100000", "API_GUESSES_PER_MINUTE": "1000000"}
    async with served(world, **plenty) as api:
        await keep(api.database, *rows)
        committed = json.loads(_DOCUMENT.read_text(encoding="utf-8"))
        assert (await api.ask("/openapi.json")).body == committed, "what is served is what is committed"
        settings = _settings(tmp_path, [row.id for row in rows])
        command = [str(program), "--config-file", settings, "run", str(_DOCUMENT), "--url", api.address, *options]
        ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 selected / 5 total" in ran.stdout
    assert "Missing test data" not in ran.stdout
