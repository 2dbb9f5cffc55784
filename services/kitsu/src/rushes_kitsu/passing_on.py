"""Passing calls on to the Nomad that a studio has already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, web

log = structlog.get_logger(__name__)

_SECONDS: Final = 4.5  # Zou waits for 5
_HEADERS: Final = ("Content-Type", "X-Nomad-Token", "Accept")


class UnknownJobError(Exception):
    """Neither this service nor a Nomad that it knows has such a job; the text says so."""


class Onward:
    """The way to another Nomad, if there is one."""

    def __init__(self, session: ClientSession, address: str | None) -> None:
        self._session = session
        self._address = address

    async def ask(self, request: web.Request) -> web.Response:
        """The other Nomad's answer, as it is.

        Raises:
            UnknownJobError: there is no other Nomad.
        """
        if self._address is None:
            raise UnknownJobError(
                f"{request.method} {request.path}: rushes-kitsu has no such job, and PASS_ON_TO names no other Nomad"
            )
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        try:
            async with self._session.request(
                request.method,
                f"{self._address}{request.path_qs}",
                data=await request.read(),
                headers=headers,
                allow_redirects=False,
            ) as answer:
                kind = answer.headers.get("Content-Type", "application/json")
                return web.Response(body=await answer.read(), status=answer.status, headers={"Content-Type": kind})
        except (ClientError, TimeoutError, OSError) as error:
            log.warning("nomad_away", address=self._address, error=repr(error)[:500])
            return web.Response(text=f"the Nomad of PASS_ON_TO does not answer: {type(error).__name__}", status=502)


@asynccontextmanager
async def open_onward(address: str | None) -> AsyncIterator[Onward]:
    """The way on, for as long as the block runs."""
    async with ClientSession(timeout=ClientTimeout(total=_SECONDS)) as session:
        yield Onward(session, address)
