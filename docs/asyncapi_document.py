"""The AsyncAPI 3 document of all channels, made from the models, the contracts and the topics' configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import models_json_schema
from rushes_kitsu.topics import TOPICS as KITSU_TOPICS
from rushes_normalizer.topics import TOPICS as NORMALIZER_TOPICS
from rushes_normalizer.transitions import EVENT_SOURCE, VERSION_HEADER
from rushes_runtime.envelopes import REASONS
from rushes_schemas import CONTRACTS, Contract
from rushes_schemas.contracts import CONTENT_TYPE, FILES_SYNCED_TOPIC, SPEC_VERSION, STATUS_CHANGED_TOPIC
from rushes_syncer.synced import SOURCE as SYNCER_SOURCE
from rushes_syncer.topics import TOPICS as SYNCER_TOPICS

Json = dict[str, Any]

_EVENTS_PAGE: Final = Path(__file__).parent / "events.md"
_ALL_TOPICS: Final = {**NORMALIZER_TOPICS, **SYNCER_TOPICS, **KITSU_TOPICS}
_KAFKA_BINDING: Final = "0.5.0"
# What Rushes itself says on the bus, and as whom.
_OURS: Final = {STATUS_CHANGED_TOPIC: EVENT_SOURCE, FILES_SYNCED_TOPIC: SYNCER_SOURCE}
_TITLES: Final = {
    "preview-uploaded": "Uploads and deletions, from publishers. One topic, so that their order holds.",
    "renormalize-requested": "Requests to make the outputs of known previews again.",
    STATUS_CHANGED_TOPIC: "One record for each transition of a preview. Compacted: the latest record of a key is the "
    "preview's state, so that a new consumer reads from the earliest offset. Read committed.",
    "normalizer.dead-letters": "Records that the normalizer could not take in.",
    FILES_SYNCED_TOPIC: "One record for each preview whose files a site holds now, for whoever waits for a copy.",
    "syncer.dead-letters": "Records that the syncer could not take in.",
    "kitsu.dead-letters": "Records that the bridge to Kitsu could not take in.",
}
_ABOUT: Final = (
    "The preview pipeline of an animation or VFX studio. CloudEvents 1.0 on Kafka: Rushes writes binary mode and reads "
    "binary and structured mode. The record's key is the preview's id in lower case. A studio may have a prefix before "
    "every topic (KAFKA__TOPIC_PREFIX). Drop what is not newer than the version that you hold, and ignore fields that "
    "you do not know. Operations are told from Rushes' side: it receives what publishers send."
)


def asyncapi_document() -> Json:
    """The document, as JSON values."""
    _, schemas = models_json_schema(
        [(contract.model, "validation") for contract in CONTRACTS], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": "3.0.0",
        "id": "urn:rushes",
        "info": {"title": "Rushes", "version": _version(), "description": _ABOUT},
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "plain": {"host": "kafka.example:9092", "protocol": "kafka", "description": "In a trusted network."},
            "secured": {
                "host": "kafka.example:9093",
                "protocol": "kafka-secure",
                "description": "TLS, with a client's certificate or a password.",
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("certificate", "password")],
            },
        },
        "channels": {_camel(topic): _channel(topic, config) for topic, config in _ALL_TOPICS.items()},
        "operations": {_camel(f"{_action(topic)}-{topic}"): _operation(topic) for topic in _ALL_TOPICS},
        "components": {
            "messages": {
                **{_camel(contract.name): _message(contract) for contract in CONTRACTS},
                "tombstone": _tombstone(),
                "deadLetter": _dead_letter(),
                "redriven": _redriven(),
            },
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "certificate": {"type": "X509"},
                "password": {"type": "scramSha512"},
            },
        },
    }


def asyncapi_text() -> str:
    """The document, as the text of its file."""
    return json.dumps(asyncapi_document(), indent=2, ensure_ascii=False) + "\n"


def example_payload(contract: Contract) -> Json:
    """The payload that `events.md` shows of an event."""
    example = re.search(
        rf"^## {contract.name}\n\n```json\n(.*?)```", _EVENTS_PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert example, f"docs/events.md shows no {contract.name}"
    payload: Json = json.loads(example[1])
    return payload


def _version() -> str:
    """Of the contracts: the highest major, and how many minors were added in all."""
    return f"{max(each.major for each in CONTRACTS)}.{sum(each.minor for each in CONTRACTS)}.0"


def _camel(name: str) -> str:
    first, *rest = re.split(r"[-.]", name)
    return first + "".join(part.capitalize() for part in rest)


def _message_names(topic: str) -> list[str]:
    if topic.endswith("dead-letters"):
        return ["deadLetter", "redriven"]
    names = [_camel(contract.name) for contract in CONTRACTS if contract.topic == topic]
    return [*names, "tombstone"] if topic == STATUS_CHANGED_TOPIC else names


def _channel(topic: str, config: Mapping[str, str]) -> Json:
    return {
        "address": topic,
        "description": _TITLES[topic],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _message_names(topic)},
        "bindings": {
            "kafka": {
                "topic": topic,
                "topicConfiguration": {name: _config_value(name, value) for name, value in config.items()},
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


def _config_value(name: str, value: str) -> object:
    """As the binding has it: policies are a list, times are numbers."""
    return value.split(",") if name == "cleanup.policy" else int(value)


def _action(topic: str) -> str:
    return "send" if topic in _OURS or topic.endswith("dead-letters") else "receive"


def _operation(topic: str) -> Json:
    channel = f"#/channels/{_camel(topic)}"
    return {
        "action": _action(topic),
        "channel": {"$ref": channel},
        "summary": _TITLES[topic].partition(".")[0] + ".",
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in _message_names(topic)],
    }


def _message(contract: Contract) -> Json:
    example = example_payload(contract)
    return {
        "name": contract.type,
        "title": contract.name,
        "summary": (contract.model.__doc__ or "").partition("\n")[0],
        "contentType": CONTENT_TYPE,
        "headers": _headers(contract),
        "payload": {"$ref": f"#/components/schemas/{contract.model.__name__}"},
        "bindings": _keyed(),
        "examples": [{"name": contract.name, "headers": _example_headers(contract, example), "payload": example}],
    }


def _keyed() -> Json:
    return {
        "kafka": {
            "key": {"type": "string", "format": "uuid", "description": "The preview's id in lower case."},
            "bindingVersion": _KAFKA_BINDING,
        }
    }


def _headers(contract: Contract) -> Json:
    """CloudEvents attributes, as they stand in binary mode."""
    return {
        "type": "object",
        "required": ["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type"],
        "properties": {
            "content-type": {"type": "string", "const": CONTENT_TYPE},
            "ce_specversion": {"type": "string", "const": SPEC_VERSION},
            "ce_type": {"type": "string", "const": contract.type, "description": "Carries the major version."},
            "ce_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "description": "Unique within ce_source; the same id again is recognised as a repetition.",
            },
            "ce_source": {
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "description": "Who sends it, such as /studio/uploads.",
            },
            "ce_dataschema": {
                "type": "string",
                "description": f"Carries the minor version, such as {contract.dataschema}.",
            },
            "ce_subject": {"type": "string", "description": "The preview's id."},
            "ce_time": {"type": "string", "description": "When it happened, by RFC 3339."},
            "ce_traceparent": {"type": "string", "description": "W3C trace context, carried through."},
        },
    }


def _example_headers(contract: Contract, payload: Json) -> Json:
    announced = contract.topic == STATUS_CHANGED_TOPIC
    a_uuid = "5f0c9c1e-7d43-4f0e-b7c8-2b8d0a4d1e90"
    event_id = f"{payload['preview_file_id']}/{payload['version']}" if announced else a_uuid
    return {
        **{name: value.decode() for name, value in contract.headers},
        "ce_id": event_id,
        "ce_source": _OURS.get(contract.topic, "/studio/uploads"),
    }


def _tombstone() -> Json:
    return {
        "name": "tombstone",
        "title": "tombstone",
        "summary": "The last record of a deleted preview: no value, so that compaction removes the key.",
        "headers": {
            "type": "object",
            "required": [VERSION_HEADER],
            "properties": {VERSION_HEADER: {"type": "string", "description": "The preview's last version."}},
        },
        "payload": {"type": "null"},
        "bindings": _keyed(),
        "examples": [{"name": "tombstone", "headers": {VERSION_HEADER: "3"}, "payload": None}],
    }


def _dead_letter() -> Json:
    text = {"type": "string"}
    return {
        "name": "deadLetter",
        "title": "dead letter",
        "summary": "A record as it came (its first 900,000 bytes; the key too), with the reason why it was not taken "
        "in, and each of its headers as original-<name>.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "required": ["rushes-reason", "rushes-topic", "rushes-partition", "rushes-offset"],
            "properties": {
                "rushes-reason": {"type": "string", "enum": list(REASONS)},
                **{f"rushes-{name}": text for name in ("detail", "topic", "partition", "offset", "sha256", "bytes")},
                "rushes-truncated": {"type": "string", "enum": ["true", "false"]},
            },
        },
        "payload": {"description": "The original bytes."},
    }


def _redriven() -> Json:
    return {
        "name": "redriven",
        "title": "redriven",
        "summary": "Says of a dead letter that it was sent again.",
        "headers": {
            "type": "object",
            "required": ["rushes-redriven"],
            "properties": {"rushes-redriven": {"type": "string", "description": "The letter's id."}},
        },
        "payload": {"type": "string", "maxLength": 0},
    }
