"""The checker of pods finds each thing that it is there for."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.chart.pod_security import violations

GOOD: dict[str, Any] = {
    "automountServiceAccountToken": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "volumes": [{"name": "tmp", "emptyDir": {}}],
    "containers": [
        {
            "name": "main",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
}
BREACHES: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "host network": (("hostNetwork",), True, "hostNetwork"),
    "token": (("automountServiceAccountToken",), None, "token"),
    "host path": (("volumes", 0), {"name": "tmp", "hostPath": {"path": "/"}}, "is a hostPath"),
    "root": (("securityContext", "runAsUser"), 0, "as root"),
    "named user": (("securityContext", "runAsUser"), None, "no numeric user"),
    "may be root": (("securityContext", "runAsNonRoot"), None, "runAsNonRoot"),
    "unconfined": (("securityContext", "seccompProfile"), {"type": "Unconfined"}, "seccomp"),
    "escalation": (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True, "allowPrivilegeEscalation"),
    "privileged": (("containers", 0, "securityContext", "privileged"), True, "privileged"),
    "writable root": (("containers", 0, "securityContext", "readOnlyRootFilesystem"), False, "root can be written"),
    "capabilities": (("containers", 0, "securityContext", "capabilities"), {}, "keeps capabilities"),
    "more of them": (
        ("containers", 0, "securityContext", "capabilities"),
        {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
        "adds capabilities",
    ),
    "own root": (("containers", 0, "securityContext", "runAsUser"), 0, "as root"),
    "host port": (("containers", 0, "ports"), [{"hostPort": 80}], "hostPort"),
}


def test_a_restricted_pod_passes() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize("name", BREACHES)
@pytest.mark.parametrize("place", ["containers", "initContainers"])
def test_each_breach_is_found_in_every_kind_of_container(name: str, place: str) -> None:
    path, value, said = BREACHES[name]
    spec = deepcopy(GOOD)
    if place == "initContainers":
        spec["initContainers"] = deepcopy(spec["containers"])
        path = (place, *path[1:]) if path[0] == "containers" else path
    inner: Any = spec
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert any(said in each for each in violations(spec))
