"""Custom resources against models of their definitions."""

from __future__ import annotations

from typing import Any, Final

import jsonschema
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus

_MODELS: Final = {
    "ScaledObject": keda.ScaledObject,
    "TriggerAuthentication": keda.TriggerAuthentication,
    "PodMonitor": prometheus.PodMonitor,
    "PrometheusRule": prometheus.PrometheusRule,
}
# Nobody publishes a model of Strimzi's topic: the fields of its definition that we use.
_TOPIC: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["partitions", "replicas"],
    "properties": {
        "topicName": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,249}$"},
        "partitions": {"type": "integer", "minimum": 1},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 32767},
        "config": {"type": "object"},
    },
}


def is_custom(each: dict[str, Any]) -> bool:
    """Whether an object is of a kind that this module knows."""
    return each["kind"] in _MODELS or each["kind"] == "KafkaTopic"


def complaints(each: dict[str, Any]) -> list[str]:
    """What a model says against an object. Models drop fields that they do not know: what comes back must be the same.

    Raises:
        pydantic.ValidationError: a field has the wrong type.
    """
    if each["kind"] == "KafkaTopic":
        return [error.message for error in jsonschema.Draft202012Validator(_TOPIC).iter_errors(each["spec"])]
    model: Any = _MODELS[each["kind"]]
    back = model.model_validate(each).model_dump(mode="json", by_alias=True, exclude_unset=True)
    return list(_lost(each, back, ""))


def _lost(given: Any, back: Any, path: str) -> list[str]:
    if isinstance(given, dict) and isinstance(back, dict):
        return [
            complaint
            for key, value in given.items()
            for complaint in (
                _lost(value, back[key], f"{path}.{key}") if key in back else [f"{path}.{key} is not known"]
            )
        ]
    if isinstance(given, list) and isinstance(back, list) and len(given) == len(back):
        return [
            complaint
            for index, (one, other) in enumerate(zip(given, back, strict=True))
            for complaint in _lost(one, other, f"{path}[{index}]")
        ]
    return [] if given == back else [f"{path}: {given!r} came back as {back!r}"]
