"""The AsyncAPI document as others read it: by the official parser, and as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from rushes_kitsu.topics import TOPICS as KITSU_TOPICS
from rushes_normalizer.topics import TOPICS as NORMALIZER_TOPICS
from rushes_schemas import CONTRACTS, Contract
from rushes_syncer.topics import TOPICS as SYNCER_TOPICS

from tests.contracts.node_tools import needs_node, run_node

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT: dict[str, Any] = json.loads((DOCS / "asyncapi.json").read_text(encoding="utf-8"))
PAGE = (DOCS / "asyncapi.html").read_text(encoding="utf-8")
# 3.1 adds nothing that we use, and older tools read 3.0.
FINE = {"asyncapi-latest-version"}
BY_NAME = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)


def findings(document: dict[str, Any]) -> list[dict[str, str]]:
    """What the official parser objects to."""
    told = json.loads(run_node("parse.cjs", json.dumps(document)).stdout)
    found: list[dict[str, str]] = [each for each in told["findings"] if each["code"] not in FINE]
    assert told["valid"] or found
    return found


def message(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["messages"][name]
    return found


@needs_node
def test_the_official_parser_finds_no_fault() -> None:
    assert findings(DOCUMENT) == []


@needs_node
@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document["components"]["schemas"].pop("Encoding"),
        lambda document: document["channels"]["statusChanged"].update(topic="status-changed"),
        lambda document: message(document, "statusChanged")["bindings"]["kafka"].update(key="uuid"),
    ],
    ids=["a type that is gone", "a field that no channel has", "a binding that is no schema"],
)
def test_the_official_parser_sees(spoil: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    spoil(document)
    assert findings(document)


def test_every_topic_has_a_channel_that_says_how_it_is_kept() -> None:
    channels = {each["address"]: each["bindings"]["kafka"] for each in DOCUMENT["channels"].values()}
    assert set(channels) == {*NORMALIZER_TOPICS, *SYNCER_TOPICS, *KITSU_TOPICS}
    assert channels["status-changed"]["topicConfiguration"]["cleanup.policy"] == ["compact"]
    assert all(address == binding["topic"] for address, binding in channels.items())


@BY_NAME
def test_an_event_travels_on_its_topic_under_its_type(contract: Contract) -> None:
    (channel,) = [each for each in DOCUMENT["channels"].values() if each["address"] == contract.topic]
    names = [reference["$ref"].rpartition("/")[2] for reference in channel["messages"].values()]
    (found,) = [each for each in (message(DOCUMENT, name) for name in names) if each["name"] == contract.type]
    assert found["headers"]["properties"]["ce_type"]["const"] == contract.type
    (example,) = found["examples"]
    for schema, value in ((found["headers"], example["headers"]), (found["payload"], example["payload"])):
        Draft7Validator({**schema, "components": DOCUMENT["components"]}).validate(value)
    assert found["headers"]["properties"].keys() >= dict(contract.headers).keys()


@BY_NAME
def test_the_page_tells_of_every_field(contract: Contract) -> None:
    assert contract.type in PAGE
    section = PAGE.partition(f'<h3 id="{contract.model.__name__}">')[2].partition("<h3")[0]
    for field in contract.model.model_fields:
        assert f"<code>{field}</code>" in section


class Page(HTMLParser):
    """Collects what a page loads, what it links to, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: set[str] = set()
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.anchors.add(value or "")
            elif name == "href" and tag == "a":
                self.links.add(value or "")
            elif name in {"src", "href", "style"}:
                self.loads.append(f"{tag} {value}")
        if tag in {"script", "link", "iframe"}:
            self.loads.append(tag)


def test_the_page_needs_no_server() -> None:
    page = Page()
    page.feed(PAGE)
    assert page.loads == []
    assert not re.search(r"url\(|@import", PAGE)
    assert {link.removeprefix("#") for link in page.links} <= page.anchors, "a link leads nowhere"
