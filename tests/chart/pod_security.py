"""Kubernetes' restricted Pod Security standard, and what we ask beyond it. Pure.

The rules are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/ (restricted, which contains
baseline). Beyond it: a numeric user, a read-only root, no token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

_VOLUMES: Final = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
_SECCOMP: Final = frozenset({"RuntimeDefault", "Localhost"})


def violations(spec: dict[str, Any]) -> list[str]:
    """What a pod's spec does that it must not, in words; empty if nothing."""
    context = spec.get("securityContext", {})
    found = [*_of_pod(spec, context)]
    for container in [*spec.get("initContainers", []), *spec["containers"], *spec.get("ephemeralContainers", [])]:
        found += [f"{container['name']}: {each}" for each in _of_container(container, context)]
    return found


def _of_pod(spec: dict[str, Any], context: dict[str, Any]) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    if context.get("sysctls"):
        yield "sysctls"
    if spec.get("automountServiceAccountToken") is not False:
        yield "its ServiceAccount's token is mounted"
    for volume in spec.get("volumes", []):
        (kind,) = set(volume) - {"name"}
        if kind not in _VOLUMES:
            yield f"volume {volume['name']} is a {kind}"


def _of_container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = {**pod, **own}
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if not isinstance(both.get("runAsUser"), int) or both["runAsUser"] == 0:
        yield "runs as no numeric user, or as root"
    if both.get("seccompProfile", {}).get("type") not in _SECCOMP:
        yield "no seccomp profile"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "its root can be written"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "keeps capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "hostPort"
    for handler in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(handler, {})
        if any(probe.get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket")):
            yield f"{handler} names a host"
