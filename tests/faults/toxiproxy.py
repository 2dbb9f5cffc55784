"""Toxiproxy between services and servers: cut, silent, reset and slow connections on command."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any, Final

import aiohttp
from rushes_embedded.cache import cache_folder
from rushes_embedded.leash import Leash, StartError
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.readiness import wait_until_ready

from tests.cache import installed_by_go

_VERSION: Final = "2.12.0"
_MODULE: Final = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{_VERSION}"

# What a network does to the connections of now and of a while, as toxics. `timeout` 0 lets no byte through and closes
# nothing; when it is removed, the connections that it held are closed.
TOXICS: Final[dict[str, list[dict[str, Any]]]] = {
    "silent": [{"type": "timeout", "attributes": {"timeout": 0}}],
    "slow": [{"type": "latency", "attributes": {"latency": 250, "jitter": 200}}],
    "reset": [{"type": "reset_peer", "attributes": {"timeout": 0}}],
    "narrow": [{"type": "bandwidth", "attributes": {"rate": 8}}],  # kB/s
}


def find_toxiproxy() -> str | None:
    """None when toxiproxy can be run here, or else what is missing, in words."""
    if not _program().exists() and shutil.which("go") is None:
        return "no go on the PATH to build toxiproxy with, and it was not built before"
    return None


def _program() -> Path:
    return cache_folder() / f"toxiproxy-{_VERSION}" / "server"


def build_toxiproxy() -> Path:
    """The server's program, built once into the user's cache (a minute); safe when several ask at once."""
    return installed_by_go(_MODULE, _program().parent) / "server"


class Toxiproxy:
    """A running toxiproxy with proxies by name."""

    def __init__(self, log: Path) -> None:
        self._port = free_ports(1)[0]
        self._leash = Leash([build_toxiproxy(), "-host", LOOPBACK, "-port", str(self._port)], log=log)
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Toxiproxy:
        self._leash.start()
        wait_until_ready("toxiproxy", self._leash, self._answers, timeout=60)
        self._session = aiohttp.ClientSession(f"http://{LOOPBACK}:{self._port}")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()
        self._leash.stop()

    def _answers(self) -> str | None:
        try:
            socket.create_connection((LOOPBACK, self._port), 1).close()
        except OSError as error:
            return str(error)
        return None

    async def add(self, name: str, upstream: int, port: int) -> None:
        """A proxy from one port of loopback to another."""
        await self._call("POST", "/proxies", {"name": name, "listen": f"{LOOPBACK}:{port}",
                                              "upstream": f"{LOOPBACK}:{upstream}", "enabled": True})  # fmt: skip

    async def disturb(self, name: str, how: str) -> None:
        """Disturb a proxy: `down` refuses and closes; the others are `TOXICS`."""
        if how == "down":
            await self._call("POST", f"/proxies/{name}", {"enabled": False})
            return
        for toxic in TOXICS[how]:
            for stream in ("upstream", "downstream"):
                await self._call("POST", f"/proxies/{name}/toxics", {**toxic, "stream": stream})

    async def heal(self, name: str) -> None:
        """Let a proxy be as if nothing had been."""
        for toxic in await self._call("GET", f"/proxies/{name}/toxics"):
            await self._call("DELETE", f"/proxies/{name}/toxics/{toxic['name']}")
        await self._call("POST", f"/proxies/{name}", {"enabled": True})

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        async with self._session.request(method, path, json=body) as answer:
            said = await answer.text()
            if answer.status >= 400 and answer.status != 409:  # 409: the toxic is there already
                raise StartError(f"toxiproxy says {answer.status} to {method} {path}: {said}")
            return await answer.json(content_type=None) if said else None
