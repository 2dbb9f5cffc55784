"""Objects against Kubernetes' own schemas, in which a misspelt field is an error."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import jsonschema
from kubernetes_validate import utils
from referencing import Registry, Resource

_OLDEST: Final = (1, 28)
# Custom resources; `custom_resources` looks at them.
_OTHERS: Final = ("keda.sh/", "monitoring.coreos.com/", "kafka.strimzi.io/")


def kubernetes_versions() -> list[str]:
    """Every version from 1.28 on that there are schemas of, such as `1.28.0`."""
    versions = {version.removesuffix("-strict") for version in utils.all_versions()}
    ordered = sorted(versions, key=_minor)
    return [version for version in ordered if _minor(version) >= _OLDEST]


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def complaints(each: dict[str, Any], version: str) -> list[str]:
    """What the schema of an object's kind says against it."""
    api = each["apiVersion"]
    if api.startswith(_OTHERS):
        return []
    short = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api)
    validator = _validator(version, f"{each['kind'].lower()}-{short}.json")
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(each)]


@cache
def _definitions(version: str) -> Registry[Any]:
    contents = utils.schema_contents(f"{_folder(version)}/_definitions.json", version)
    resource: Resource[Any] = Resource.from_contents(contents)
    return resource @ Registry()


@cache
def _validator(version: str, file: str) -> jsonschema.Draft202012Validator:
    schema = utils.schema_contents(f"{_folder(version)}/{file}", version)
    resource: Resource[Any] = Resource.from_contents(schema)
    return jsonschema.Draft202012Validator(schema, registry=resource @ _definitions(version))


def _folder(version: str) -> str:
    return f"kubernetes-json-schema/v{version}-local-strict"
