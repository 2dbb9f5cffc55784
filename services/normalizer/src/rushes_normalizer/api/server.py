"""Serves the API by uvicorn, as a role of a process of ours."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn
from rushes_runtime.waiting import wait_or_stop
from starlette.types import ASGIApp, Scope

from rushes_normalizer.api.event_stream import Streams
from rushes_normalizer.api.settings import ApiSettings

log = structlog.get_logger(__name__)

_LAST_ANSWERS: Final = 10  # seconds that calls in work get at the end
_LOOK_AT_CERTIFICATE: Final = 10.0


class _Uvicorn(uvicorn.Server):
    """Signals are the service's own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Connections:
    """Ends connections that uvicorn cannot: one whose client takes nothing has no end of its own."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None

    def abort(self, scope: Scope) -> None:
        """End the connection of a call, with all that is yet to be sent on it."""
        for connection in list(self.server.server_state.connections) if self.server else []:
            client = getattr(connection, "client", None)
            if client is not None and tuple(client) == tuple(scope["client"]):
                connection.transport.abort()


class ApiServer:
    """Answers calls until it is told to stop, and for a while after; then streams end, so that clients go elsewhere."""

    def __init__(self, app: ASGIApp, settings: ApiSettings, streams: Streams, connections: Connections) -> None:
        self._app = app
        self._settings = settings
        self._streams = streams
        self._connections = connections

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then linger: the network may still send calls here for some seconds.

        Raises:
            OSError: the port is taken, or the certificate cannot be read.
        """
        settings = self._settings
        certificate = _Certificate(settings)
        config = uvicorn.Config(
            self._app,
            http="h11",
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_LAST_ANSWERS,
            ssl_certfile=settings.api_tls_certfile,
            ssl_keyfile=settings.api_tls_keyfile,
        )
        config.load()
        family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
        listening = socket.create_server((settings.api_host, settings.api_port), family=family)
        server = self._connections.server = _Uvicorn(config)
        serving = asyncio.create_task(server.serve([listening]))
        try:
            bound = listening.getsockname()
            log.info("api_served", host=bound[0], port=bound[1], tls=config.is_ssl)
            while not await wait_or_stop(stop, _LOOK_AT_CERTIFICATE):
                certificate.renew(config)
                if serving.done():
                    break
            await wait_or_stop(asyncio.Event(), settings.api_linger)
        finally:
            self._streams.stopping.set()
            server.should_exit = True
            await serving


class _Certificate:
    """The server's certificate: a new one counts for the next connection."""

    def __init__(self, settings: ApiSettings) -> None:
        self._certfile, self._keyfile = settings.api_tls_certfile, settings.api_tls_keyfile
        self._held = self._read()

    def renew(self, config: uvicorn.Config) -> None:
        """Take up what the files hold now. What cannot be used changes nothing, and is tried again."""
        try:
            now = self._read()
            if config.ssl is None or self._certfile is None or now == self._held:
                return
            config.ssl.load_cert_chain(self._certfile, self._keyfile)
        except OSError as error:  # a key that does not fit its certificate is one as well
            log.warning("certificate_unusable", error=str(error))
            return
        self._held = now
        log.info("certificate_renewed")

    def _read(self) -> list[bytes]:
        return [file.read_bytes() for file in (self._certfile, self._keyfile) if file]
