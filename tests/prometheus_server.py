"""A Prometheus that scrapes processes of ours every half second, and evaluates the rules that the chart renders."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from rushes_embedded.leash import Leash, log_tail

from tests.promtool import PROMETHEUS
from tests.world import free_port

# The namespace that `tests.chart.rendering` renders for.
NAMESPACE: Final = "studio"
_START_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Target:
    """A process, with the labels that the chart's PodMonitor gives its series."""

    port: int
    component: str
    pod: str
    pool: str = ""


class PrometheusServer:
    """Answers queries; its alerts go nowhere."""

    def __init__(self, address: str, client: aiohttp.ClientSession, targets: Path) -> None:
        self._address = address
        self._client = client
        self._targets = targets

    def scrape(self, *targets: Target) -> None:
        """What to scrape from now on."""
        text = json.dumps([_labelled(target) for target in targets])
        partial = self._targets.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(self._targets)

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression, as they are now.

        Raises:
            ValueError: Prometheus cannot evaluate it.
        """
        answer = await self._ask("query", query=expression)
        found: list[dict[str, Any]] = answer["result"]
        return found

    async def rules(self) -> dict[str, dict[str, Any]]:
        """Each rule by the name of its alert, with its health and state."""
        answer = await self._ask("rules")
        return {rule["name"]: rule for group in answer["groups"] for rule in group["rules"]}

    async def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire, by name."""
        answer = await self._ask("alerts")
        return {alert["labels"]["alertname"]: alert for alert in answer["alerts"] if alert["state"] == "firing"}

    async def _ask(self, path: str, **parameters: str) -> dict[str, Any]:
        async with self._client.get(f"{self._address}/api/v1/{path}", params=parameters) as response:
            answer = await response.json()
        if answer["status"] != "success":
            msg = f"{parameters}: {answer.get('error')}"
            raise ValueError(msg)
        data: dict[str, Any] = answer["data"]
        return data


@asynccontextmanager
async def prometheus(folder: Path, rules: Mapping[str, Any]) -> AsyncIterator[PrometheusServer]:
    """A Prometheus with these rules, for as long as the block runs."""
    assert PROMETHEUS
    folder.mkdir(parents=True)
    targets = folder / "targets.json"
    targets.write_text("[]")
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": "rushes",
                "honor_labels": True,
                "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}],
            }
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        PROMETHEUS,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--query.lookback-delta=5s",
    ]
    leash = Leash(command, log=folder / "prometheus.log")
    leash.start()
    try:
        async with aiohttp.ClientSession() as client:
            address = f"http://127.0.0.1:{port}"
            await _ready(client, address, leash)
            yield PrometheusServer(address, client, targets)
    finally:
        leash.stop()


async def _ready(client: aiohttp.ClientSession, address: str, leash: Leash) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and leash.poll() is None:
        try:
            async with client.get(f"{address}/-/ready") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError(f"Prometheus does not start:\n{log_tail(leash.log)}")


def _labelled(target: Target) -> dict[str, Any]:
    labels = {"namespace": NAMESPACE, "component": target.component, "pod": target.pod}
    if target.pool:
        labels["pool"] = target.pool
    return {"targets": [f"127.0.0.1:{target.port}"], "labels": labels}
