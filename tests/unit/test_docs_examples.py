"""The payloads that the documentation shows are events."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rushes_schemas import CONTRACTS, Contract

EVENTS = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_the_example_of_an_event_is_one(contract: Contract) -> None:
    example = re.search(rf"^## {contract.name}\n\n```json\n(.*?)```", EVENTS, re.MULTILINE | re.DOTALL)
    assert example, f"docs/events.md shows no {contract.name}"
    payload = json.loads(example[1])
    contract.model.model_validate(payload)
    assert set(payload) <= set(contract.model.model_fields), "the example has a field that no event has"


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_every_type_is_listed_under_its_topic(contract: Contract) -> None:
    assert re.search(rf"^\| `{contract.topic}` \|.*`{re.escape(contract.type)}`", EVENTS, re.MULTILINE)
