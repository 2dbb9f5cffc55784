"""Answers the calls that `rushes-kitsu follow` makes of Zou, and says of every preview what it is told to.

The real Zou is asked in `tests/zou`. Here stands what must be away, or wrong, at the moment that a test chooses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class ZouStandIn:
    """What it says: its address, its version, whether it answers, the status of each preview; and what was written.

    Attributes:
        expired: a token that it takes no more.
        gone: previews that were deleted.
        going: previews that are deleted once they were read.
    """

    address: str = ""
    version: str = "1.0.97"
    up: bool = True
    expired: str | None = None
    status: str = "ready"
    gone: set[str] = field(default_factory=set)
    going: set[str] = field(default_factory=set)
    written: dict[str, str] = field(default_factory=dict)  # statuses by preview
    writes: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        """The JSON of one call."""
        if not self.up:
            return web.Response(status=503)
        preview = request.path.rpartition("/")[2]
        status, told = 200, {"status": self.status}
        if request.path == "/":
            told = {"api": "Zou", "version": self.version}
        elif request.headers["Authorization"] == f"Bearer {self.expired}":
            status, told = 401, {"message": "Token has expired"}
        elif preview in self.gone:
            status, told = 404, {"message": "Not found"}
        elif request.method == "PUT":
            self.writes += 1
            self.written[preview] = (await request.json())["status"]
        elif preview in self.going:
            self.gone.add(preview)
        return web.json_response(told, status=status)


@asynccontextmanager
async def zou_stand_in() -> AsyncIterator[ZouStandIn]:
    """It, on loopback, for as long as the block runs."""
    zou = ZouStandIn()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", zou.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    zou.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield zou
    finally:
        await runner.cleanup()
