"""The server that Zou takes for a Nomad.

Zou's first poll follows its dispatch at once, it polls each second, and whatever goes wrong with one poll (a refused
connection, a 5xx, more than 5 s, a 404) ends the preview as `broken`. So a poll for a job of ours is never an error:
what cannot be looked up now is "running".
"""

from __future__ import annotations

import asyncio
import hmac
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

import structlog
from aiohttp import web
from rushes_runtime import ledger
from rushes_runtime.database import Database, answer_of
from rushes_runtime.health import Health
from rushes_runtime.settings import UnreadableSecretError
from rushes_runtime.waiting import wait_or_stop

from rushes_kitsu import dispatches, metrics
from rushes_kitsu.builds import Build
from rushes_kitsu.dispatches import Dispatched, JobState
from rushes_kitsu.job_ids import JobId
from rushes_kitsu.nomad_answers import (
    allocations_answer,
    dispatch_answer,
    failure_sentence,
    log_answer,
    summary_answer,
)
from rushes_kitsu.passing_on import Onward, UnknownJobError
from rushes_kitsu.payload import AnyPayload, MoviePayload, PlaylistPayload, RefusedError, TilePayload, read_payload
from rushes_kitsu.same_store import check_same_store
from rushes_kitsu.settings import KitsuSettings
from rushes_kitsu.zou_rows import ZouDatabase, ZouDatabaseError, ZouRow, rows_of

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOOK_SECONDS: Final = 1.5  # that a poll waits for the database
_TAKE_SECONDS: Final = 3.8  # that a dispatch does, over its tries; Zou waits for 5
_ABOUT_SECONDS: Final = 0.5  # that it waits to hear of its project before that
_TRY_AGAIN: Final = 0.2
_BODY_BYTES: Final = 4 * 1024 * 1024  # a playlist of thousands of previews, passed on


class NomadServer:
    """Answers Zou's calls until it is told to stop, and for a while after."""

    def __init__(
        self,
        settings: KitsuSettings,
        database: Database,
        onward: Onward,
        health: Health,
        dispatched: Callable[[], None],
        zou: ZouDatabase | None = None,
    ) -> None:
        """
        Args:
            dispatched: called after each dispatch, to wake the relay.
            zou: Zou's database, which knows of a preview what its dispatch doesn't say: its project, its names.

        Raises:
            UnreadableSecretError: the file of the token cannot be read.
        """
        self._settings = settings
        self._database = database
        self._onward = onward
        self._health = health
        self._dispatched = dispatched
        self._zou = zou
        self._token = settings.read_nomad_token()
        self._leaving = False
        jobs = (
            (settings.normalize_job, MoviePayload),
            (settings.playlist_job, PlaylistPayload),
            (settings.tile_job, TilePayload),
        )
        self._served: dict[str, type[AnyPayload]] = {name: kind for name, kind in jobs if name}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then linger: the network may still send calls here for some seconds.

        Raises:
            OSError: the port is taken.
        """
        metrics.begin_at_zero()
        runner = web.AppRunner(self._application(), access_log=None)
        await runner.setup()
        try:
            host, port = self._settings.nomad_host, self._settings.nomad_port
            await web.TCPSite(runner, host, port, ssl_context=_tls(self._settings)).start()
            bound = runner.addresses[0]
            log.info("nomad_served", host=bound[0], port=bound[1], job=self._settings.normalize_job)
            await stop.wait()
            self._leaving = True
            await wait_or_stop(asyncio.Event(), self._settings.nomad_linger)
        finally:
            await runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=_BODY_BYTES)
        for method in ("POST", "PUT"):
            app.router.add_route(method, "/v1/job/{job:.+}/dispatch", self._measured("dispatch", self._dispatch))
        app.add_routes(
            [
                web.get("/v1/job/{id:.+}/summary", self._measured("summary", self._summary)),
                web.get("/v1/job/{id:.+}/allocations", self._measured("allocations", self._allocations)),
                web.get("/v1/client/fs/logs/{id:.+}", self._measured("logs", self._logs)),
            ]
        )
        app.router.add_route("*", "/{path:.*}", self._measured("other", self._pass_on))
        return app

    def _measured(self, operation: str, handler: Handler) -> Handler:
        async def measured(request: web.Request) -> web.StreamResponse:
            begun = time.monotonic()
            try:
                response = await self._guarded(operation, handler, request)
            except Exception:
                metrics.CALLS.labels(operation, "failed").inc()
                raise
            finally:
                metrics.CALL_SECONDS.labels(operation).observe(time.monotonic() - begun)
            metrics.CALLS.labels(operation, response.get("outcome", "answered")).inc()
            if self._leaving:
                # Zou keeps its connection between polls. The next one must go to a process that stays: a poll that
                # comes while this connection is closed would be the end of its movie.
                response.force_close()
            return response

        return measured

    async def _guarded(self, operation: str, handler: Handler, request: web.Request) -> web.StreamResponse:
        token = self._expected_token()
        shown = request.headers.get("X-Nomad-Token", "")
        if token is not None and not hmac.compare_digest(shown.encode(), token.encode()):
            log.warning("call_refused", operation=operation, reason="X-Nomad-Token is not the one of NOMAD_TOKEN")
            return _said("refused", 403, "X-Nomad-Token is not the one that rushes-kitsu was given as NOMAD_TOKEN")
        try:
            return await handler(request)
        except RefusedError as error:
            log.warning("dispatch_refused", reason=str(error))
            return _said("refused", 400, f"rushes-kitsu refuses: {error}")
        except UnknownJobError as error:
            log.warning("job_unknown", operation=operation, path=request.path[:500])
            return _said("unknown", 404, str(error))

    def _expected_token(self) -> str | None:
        """The token as it is now, or as it was while its file cannot be read: no poll may fail over that."""
        try:
            self._token = self._settings.read_nomad_token()
        except UnreadableSecretError as error:
            log.warning("token_unreadable", error=str(error))
        return self._token

    async def _dispatch(self, request: web.Request) -> web.Response:
        name = request.match_info["job"]
        if name not in self._served:
            return await self._pass_on(request)
        payload = read_payload(await request.read(), self._served[name])
        check_same_store(payload, self._settings)
        job = JobId(name, payload.of, uuid4())

        about = await self._look_into_zou(job) if isinstance(payload, MoviePayload) else None

        async def take_on() -> None:
            async with self._database.begin() as connection:
                if isinstance(payload, MoviePayload):
                    await dispatches.take_on(connection, job, payload.encoding(), about)
                else:
                    build = Build.ordered(payload)
                    at = await dispatches.take_on_build(connection, job, build.kind)
                    await ledger.enqueue(connection, [build.task(at)])

        try:
            async with asyncio.timeout(_TAKE_SECONDS):
                await answer_of(take_on, event="dispatch_waits_for_database", every=_TRY_AGAIN)
        except TimeoutError:
            log.error("dispatch_failed", preview_file_id=str(job.preview_file_id), reason="PostgreSQL does not answer")
            return _said("failed", 503, "rushes-kitsu cannot write the job down: its PostgreSQL does not answer")
        self._dispatched()
        log.info("dispatched", job=name, preview_file_id=str(job.preview_file_id), event_id=str(job.event_id))
        return web.json_response(dispatch_answer(job))

    async def _look_into_zou(self, job: JobId) -> ZouRow | None:
        """Zou's row of a preview; None where its database was not given, or does not answer at once."""
        if self._zou is None:
            return None
        try:
            async with asyncio.timeout(_ABOUT_SECONDS), self._zou.connected() as connection:
                return (await rows_of(connection, [job.preview_file_id])).get(job.preview_file_id)
        except (ZouDatabaseError, TimeoutError) as error:
            log.warning("project_unknown", preview_file_id=str(job.preview_file_id), error=f"{error}"[:500])
            return None

    async def _summary(self, request: web.Request) -> web.Response:
        job = JobId.parse(request.match_info["id"])
        if job is None:
            return await self._pass_on(request)
        dispatched = await self._look(job)
        if dispatched is None:
            response = web.json_response(summary_answer(job, JobState.RUNNING))
            response["outcome"] = "blind"
            return response
        return web.json_response(summary_answer(job, dispatched.state))

    async def _allocations(self, request: web.Request) -> web.Response:
        job = JobId.parse(request.match_info["id"])
        if job is None:
            return await self._pass_on(request)
        dispatched = await self._look(job)
        return web.json_response(allocations_answer(job, dispatched or Dispatched(JobState.RUNNING)))

    async def _logs(self, request: web.Request) -> web.Response:
        job = JobId.parse(request.match_info["id"])
        if job is None:
            return await self._pass_on(request)
        if request.query.get("type") != "stderr":
            return web.Response(text="")
        dispatched = await self._look(job)
        if dispatched is None:
            return web.json_response(
                log_answer(f"The reason cannot be read now. Later: rushes-normalizer history {job.preview_file_id}")
            )
        sentence = failure_sentence(job, dispatched)
        return web.json_response(log_answer(sentence)) if sentence else web.Response(text="")

    async def _look(self, job: JobId) -> Dispatched | None:
        """What is known of a job; None while the database does not answer.

        Raises:
            UnknownJobError: the database does, and knows no such job.
        """
        try:
            async with asyncio.timeout(_LOOK_SECONDS), self._database.begin() as connection:
                found = await dispatches.look(connection, job.event_id)
        except Exception as error:
            # Whatever it is, the preview is not broken by it. The metrics say `blind`.
            log.warning("look_failed", preview_file_id=str(job.preview_file_id), error=repr(error)[:500])
            return None
        if found is None:
            raise UnknownJobError(f"rushes-kitsu knows no job {job}: it was not dispatched here, or ended long ago")
        return found

    async def _pass_on(self, request: web.Request) -> web.Response:
        response = await self._onward.ask(request)
        response["outcome"] = "passed_on"
        return response


def _said(outcome: str, status: int, text: str) -> web.Response:
    response = web.Response(text=text, status=status)
    response["outcome"] = outcome
    return response


def _tls(settings: KitsuSettings) -> ssl.SSLContext | None:
    if settings.nomad_tls_certfile is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.nomad_tls_certfile, settings.nomad_tls_keyfile)
    if settings.nomad_tls_client_cafile:
        context.load_verify_locations(settings.nomad_tls_client_cafile)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
