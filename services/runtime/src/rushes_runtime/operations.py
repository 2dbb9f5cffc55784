"""The operations server: metrics and probes over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from rushes_runtime.failures import AddressRefusedError
from rushes_runtime.health import Health


@asynccontextmanager
async def serve_operations(
    health: Health, host: str, port: int, routes: Sequence[web.RouteDef] = ()
) -> AsyncIterator[str]:
    """Serve `/metrics`, `/livez`, `/readyz` and `/startupz` while the block runs; yields the address.

    Args:
        routes: a service's own, beside these.

    Raises:
        AddressRefusedError: nothing may listen there; another process does, or it is no address of this machine.
    """

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def livez(_request: web.Request) -> web.Response:
        silent = health.silent_loops()
        return _answer(not silent, f"silent: {', '.join(silent)}")

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(health.ready, "draining" if health.draining else _waiting(health))

    async def startupz(_request: web.Request) -> web.Response:
        return _answer(health.started, _waiting(health))

    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/startupz", startupz),
            *routes,
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise AddressRefusedError(f"OPERATIONS_HOST and OPERATIONS_PORT: {error.strerror}") from error
        bound = runner.addresses[0]
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()


def _answer(good: bool, otherwise: str) -> web.Response:
    return web.Response(text="ok\n" if good else f"{otherwise}\n", status=200 if good else 503)


def _waiting(health: Health) -> str:
    return "; ".join(f"waiting for {what}: {why}" for what, why in health.waiting_for.items()) or "starting"
