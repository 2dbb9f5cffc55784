"""kubectl and helm, as an operator calls them."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "helm" / "rushes"
NAMESPACE: Final = "rushes-test"
RELEASE: Final = "rushes"
_OURS: Final = f"app.kubernetes.io/instance={RELEASE}"


class CommandError(Exception):
    """A command failed; the message is what it said."""


@dataclass(frozen=True)
class Operator:
    """Somebody with a kubeconfig, kubectl and helm."""

    kubeconfig: Path
    kubectl: Path
    helm: Path

    async def kubectl_says(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace of the test; its stdout.

        Raises:
            CommandError: it ended with another code than 0.
        """
        return await _run([str(self.kubectl), f"--namespace={NAMESPACE}", *arguments], self.kubeconfig, stdin)

    async def helm_says(self, *arguments: str) -> str:
        """The same for helm."""
        return await _run([str(self.helm), f"--namespace={NAMESPACE}", *arguments], self.kubeconfig, None)

    async def get(self, *arguments: str) -> list[dict[str, Any]]:
        """Objects, as Kubernetes holds them."""
        items: list[dict[str, Any]] = json.loads(await self.kubectl_says("get", "--output=json", *arguments))["items"]
        return items

    async def create(self, *objects: dict[str, Any]) -> None:
        """Create objects, or bring them to this state."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        await self.kubectl_says("apply", "--filename=-", stdin=json.dumps(listed))

    async def pods(self, component: str) -> list[dict[str, Any]]:
        """Pods of a component of the release that have not been told to go."""
        found = await self.get("pods", f"--selector={_OURS},app.kubernetes.io/component={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    async def scale_workers(self, replicas: int) -> None:
        """Scale the pool of workers, and wait until as many are ready, and no others are there."""
        name = f"deployment/{RELEASE}-worker-general"
        await self.kubectl_says("scale", name, f"--replicas={replicas}")
        await self.kubectl_says("rollout", "status", name, "--timeout=240s")
        if replicas == 0:
            selector = f"--selector={_OURS},app.kubernetes.io/component=worker"
            await self.kubectl_says("wait", "--for=delete", "pod", selector, "--timeout=120s")

    async def all_names(self) -> set[str]:
        """All that is in the namespace, but what the cluster writes down for itself."""
        kinds = await self.kubectl_says("api-resources", "--verbs=list", "--namespaced", "--output=name")
        counted = [kind for kind in kinds.split() if not kind.startswith(("events", "leases", "endpoints"))]
        listed = await self.kubectl_says("get", ",".join(counted), "--output=name", "--ignore-not-found")
        return set(listed.split())


async def _run(command: list[str], kubeconfig: Path, stdin: str | None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
    )
    out, err = await process.communicate(stdin.encode() if stdin is not None else None)
    if process.returncode != 0:
        raise CommandError(f"{' '.join(command)}: {err.decode().strip() or out.decode().strip()}")
    return out.decode()
