"""What an operator does to Rushes on a real cluster, in the order of a release's life; nothing may be lost.

python -m tests.kubernetes.trial ...       `python -m tests.kubernetes` says with what
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.kubernetes.commands import CHART, NAMESPACE, RELEASE, CommandError, Operator
from tests.kubernetes.report import Report, Step
from tests.kubernetes.servers import Servers
from tests.kubernetes.uploads import Uploads
from tests.kubernetes.values import namespace, secrets, unrestricted_pod
from tests.world import eventually

_ONE_TASK = "SELECT state, worker, progress FROM task WHERE subject = :subject ORDER BY created_at DESC LIMIT 1"


@dataclass
class Trial:
    """One run."""

    operator: Operator
    servers: Servers
    uploads: Uploads
    folder: Path
    values: dict[str, Any]
    database_url: str
    report: Report

    async def run(self) -> None:
        """All steps.

        Raises:
            AssertionError, CommandError, TimeoutError: one of them did not go as it must.
        """
        before = await self._prepare()
        await self._install()
        await self._twenty_uploads()
        await self._helm_test()
        await self._zero_and_back()
        await self._delete_worker()
        await self._upgrade()
        await self._restart_database()
        await self._drain()
        await self._nothing_lost()
        await self._uninstall(before)

    async def _prepare(self) -> set[str]:
        with self.report.step("a pod that is not restricted is refused"):
            await self.operator.create(namespace())
            await self.operator.create(*secrets(self.servers, self.database_url))
            image = f"{self.values['image']['repository']}:{self.values['image']['tag']}"
            with pytest.raises(CommandError, match='violates PodSecurity "restricted'):
                await self.operator.create(unrestricted_pod(image))
        return await self.operator.all_names()

    async def _install(self) -> None:
        with self.report.step("helm install migrates, and all becomes ready") as step:
            await self._helm("install")
            jobs = await self.operator.get("jobs")
            assert [job["status"].get("succeeded") for job in jobs] == [1]
            step.saw(await self._count_pods())

    async def _twenty_uploads(self) -> None:
        with self.report.step("20 uploads become ready"):
            await self.uploads.until_ready(await self.uploads.send(20))

    async def _helm_test(self) -> None:
        with self.report.step("helm test sends one through"):
            await self.operator.helm_says("test", RELEASE, "--timeout=180s")

    async def _zero_and_back(self) -> None:
        with self.report.step("workers at zero: uploads wait in the ledger; one comes and does them") as step:
            await self.operator.scale_workers(0)
            waiting = await self.uploads.send(5)
            subjects = [str(each) for each in waiting]
            await self.uploads.until(
                "SELECT count(*) FROM task WHERE subject = ANY(:subjects) AND state = 'queued'",
                lambda rows: bool(rows[0].count == 5),
                subjects=subjects,
            )
            started = time.monotonic()
            await self.operator.scale_workers(1)
            step.saw(f"a worker was ready after {time.monotonic() - started:.1f} s")
            await self.uploads.until_ready(waiting)
            await self.operator.scale_workers(2)

    async def _delete_worker(self) -> None:
        for way, options in (("", ()), (" without grace", ("--grace-period=0", "--force"))):
            with self.report.step(f"a worker pod is deleted in mid-encode{way}; another ends its job") as step:
                await self._lose_worker(step, options)

    async def _lose_worker(self, step: Step, options: tuple[str, ...]) -> None:
        preview = await self.uploads.send_long()
        (task,) = await self.uploads.until(_ONE_TASK, _encodes, subject=str(preview))
        pod = _pod_of(task.worker)
        deleted = time.monotonic()
        await self.operator.kubectl_says("delete", "pod", pod, "--wait=false", *options)
        (again,) = await self.uploads.until(
            _ONE_TASK,
            lambda rows: rows[0].worker is not None and _pod_of(rows[0].worker) != pod,
            subject=str(preview),
        )
        step.saw(f"another had it {time.monotonic() - deleted:.1f} s after the deletion")
        await self.uploads.until_ready([preview])
        step.saw(f"and ended it after {time.monotonic() - deleted:.1f} s")
        assert _pod_of(again.worker) != pod
        step.saw(f"attempts: {await self._attempts(preview)}")
        await self.operator.scale_workers(2)

    async def _attempts(self, preview: UUID) -> str:
        rows = await self.uploads.rows(
            "SELECT outcome FROM attempt WHERE subject = :subject ORDER BY fence", subject=str(preview)
        )
        return ", ".join(row.outcome for row in rows)

    async def _upgrade(self) -> None:
        with self.report.step("helm upgrade replaces every pod while uploads flow") as step:
            old = {pod["metadata"]["name"] for pod in await self._all_pods()}
            before = len(self.uploads.sent)
            async with self.uploads.flowing():
                self.values["settings"]["LOG_LEVEL"] = "debug"
                await self._helm("upgrade")
            new = {pod["metadata"]["name"] for pod in await self._all_pods()}
            assert not old & new
            await self.uploads.until_ready(self.uploads.sent)
            step.saw(f"{len(self.uploads.sent) - before} uploads meanwhile")

    async def _restart_database(self) -> None:
        with self.report.step("PostgreSQL is restarted while uploads flow") as step:
            before = len(self.uploads.sent)
            async with self.uploads.flowing():
                await asyncio.sleep(2)
                await asyncio.to_thread(self.servers.postgres.stop)
                await asyncio.sleep(5)
                await asyncio.to_thread(self.servers.postgres.start)
                await asyncio.sleep(2)
            await self.uploads.until_ready(self.uploads.sent)
            step.saw(f"{len(self.uploads.sent) - before} uploads meanwhile")
            restarts = sum(
                container["restartCount"]
                for pod in await self._all_pods()
                for container in pod["status"]["containerStatuses"]
            )
            step.saw(f"{restarts} restarts of containers")
            assert restarts == 0

    async def _drain(self) -> None:
        nodes = {pod["spec"]["nodeName"] for pod in await self._all_pods()}
        schedulable = [node["metadata"]["name"] for node in await self.operator.get("nodes")]
        node = min(nodes)
        with self.report.step(f"node {node} is drained, as the disruption budgets allow, while uploads flow") as step:
            if len(schedulable) < 2:
                step.saw("left out: the cluster has no second node for its pods")
                return
            before = len(self.uploads.sent)
            fewest = asyncio.create_task(self._fewest_control_pods())
            async with self.uploads.flowing():
                await self.operator.kubectl_says(
                    "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s",
                    f"--pod-selector=app.kubernetes.io/instance={RELEASE}",
                )  # fmt: skip
            fewest.cancel()
            await self.operator.kubectl_says("rollout", "status", f"deployment/{RELEASE}-control", "--timeout=240s")
            assert node not in {pod["spec"]["nodeName"] for pod in await self._all_pods()}
            await self.operator.kubectl_says("uncordon", node)
            await self.uploads.until_ready(self.uploads.sent)
            step.saw(f"{len(self.uploads.sent) - before} uploads meanwhile")
            assert self._fewest >= 1
            step.saw(f"never fewer than {self._fewest} ready control pods")

    async def _fewest_control_pods(self) -> None:
        self._fewest = 99
        while True:
            ready = 0
            for pod in await self.operator.pods("control"):
                conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
                ready += conditions.get("Ready") == "True"
            self._fewest = min(self._fewest, ready)
            await asyncio.sleep(0.5)

    async def _nothing_lost(self) -> None:
        with self.report.step("the last word on the bus of every upload is ready") as step:
            # The outbox is emptied by the relay.
            await self.uploads.until(
                "SELECT count(*) FROM outbox WHERE sent_at IS NULL", lambda rows: bool(rows[0].count == 0)
            )
            lost = await self.uploads.lost()
            step.saw(f"{len(self.uploads.sent)} uploads, {len(lost)} lost")
            assert not lost, lost

    async def _uninstall(self, before: set[str]) -> None:
        with self.report.step("helm uninstall leaves nothing"):
            await self.operator.helm_says("uninstall", RELEASE, "--wait", "--timeout=120s")
            await eventually(self.operator.all_names, lambda names: names <= before)

    async def _helm(self, verb: str) -> None:
        path = self.folder / "values.json"
        path.write_text(json.dumps(self.values))
        await self.operator.helm_says(
            verb, RELEASE, str(CHART), f"--values={path}", "--wait", "--wait-for-jobs", "--timeout=600s"
        )

    async def _all_pods(self) -> list[dict[str, Any]]:
        return [pod for component in ("control", "worker") for pod in await self.operator.pods(component)]

    async def _count_pods(self) -> str:
        return f"{len(await self._all_pods())} pods in {NAMESPACE}"


def _encodes(rows: list[Any]) -> bool:
    progress = rows[0].progress if rows else None
    return bool(progress and progress.get("stage") == "encoding" and progress.get("fraction", 0) > 0)


def _pod_of(worker: str) -> str:
    """The pod of a worker: workers are called by the host's name and the process id."""
    return worker.rsplit("-", 1)[0]
