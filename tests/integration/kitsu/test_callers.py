"""Who may call, by which way, and what becomes of calls that are for another Nomad."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientError, web
from rushes_embedded.objects import ServerTls

from tests.certificates import Authority
from tests.integration.kitsu.bridge import JOB, bridge_of, unknown_job
from tests.unit.kitsu.zou_payloads import dispatch_body, movie_payload
from tests.world import World


@asynccontextmanager
async def other_nomad() -> AsyncIterator[str]:
    """A server that says what it was asked."""

    async def say(request: web.Request) -> web.Response:
        token = request.headers.get("X-Nomad-Token")
        told = [request.method, request.path_qs, token, len(await request.read())]
        return web.json_response(told, status=409 if request.path.endswith("odd") else 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", say)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_jobs_of_another_name_go_to_the_nomad_that_is_named_as_they_came(world: World) -> None:
    body = dispatch_body({"version": "1"})
    headers = {"X-Nomad-Token": "t"}
    async with other_nomad() as address, bridge_of(world, PASS_ON_TO=address) as bridge:
        for method, path in (
            ("POST", "/v1/job/studio-archive/dispatch"),
            ("GET", "/v1/job/studio-archive/dispatch-1-2/summary"),
            ("GET", "/v1/job/studio-archive/dispatch-1-2/allocations?namespace=n"),
            ("GET", "/v1/client/fs/logs/8a3f?task=studio-archive&type=stderr"),
            ("GET", "/v1/jobs"),
        ):
            sent = body if method == "POST" else b""
            told = f'["{method}", "{path}", "t", {len(sent)}]'
            assert await bridge.ask(method, path, data=sent, headers=headers) == (200, told)
        assert (await bridge.ask("GET", "/v1/odd"))[0] == 409


async def test_jobs_of_another_name_are_refused_where_no_nomad_is_named(world: World) -> None:
    async with bridge_of(world) as bridge:
        for method, path in (
            ("POST", "/v1/job/studio-archive/dispatch"),
            ("GET", f"/v1/job/{unknown_job()}/summary"),
            ("GET", f"/v1/job/{unknown_job()}/allocations"),
            ("GET", "/v1/job/studio-archive/dispatch-1-2/summary"),
        ):
            status, said = await bridge.ask(method, path, data=b"")
            assert status == 404
            assert "rushes-kitsu" in said


async def test_a_nomad_that_is_away_is_said_to_be(world: World) -> None:
    async with bridge_of(world, PASS_ON_TO="http://127.0.0.1:1") as bridge:
        status, said = await bridge.ask("POST", "/v1/job/studio-archive/dispatch", data=b"")
        assert (status, "PASS_ON_TO does not answer" in said) == (502, True)


async def test_who_does_not_show_the_token_is_refused_and_a_new_token_counts_at_once(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    body = dispatch_body(movie_payload())
    async with bridge_of(world, NOMAD_TOKEN_FILE=str(file)) as bridge:

        async def answer(token: str | None) -> int:
            headers = {"X-Nomad-Token": token} if token else {}
            status, _ = await bridge.ask("POST", f"/v1/job/{JOB}/dispatch", data=body, headers=headers)
            return status

        # 400: it was let in, and its store is another.
        assert [await answer(token) for token in (None, "second", "first")] == [403, 403, 400]
        file.write_text("second")
        assert [await answer(token) for token in ("first", "second")] == [403, 400]
        file.write_text("")
        assert await answer("second") == 400


async def test_by_tls_only_who_has_a_certificate_of_the_authority_is_heard(world: World, tmp_path: Path) -> None:
    authority = Authority.make(tmp_path / "authority")
    server, zou = authority.issue("server"), authority.issue("zou")
    settings = {
        "NOMAD_TLS_CERTFILE": str(server.certificate),
        "NOMAD_TLS_KEYFILE": str(server.key),
        "NOMAD_TLS_CLIENT_CAFILE": str(authority.certificate),
    }
    async with bridge_of(world, **settings) as bridge:
        path = f"/v1/job/{unknown_job()}/summary"
        assert (await bridge.ask("GET", path, ssl=_trusting(server, zou)))[0] == 404
        with pytest.raises(ClientError):
            await bridge.ask("GET", path, ssl=_trusting(server, None))


def _trusting(server: ServerTls, client: ServerTls | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.authority))
    if client:
        context.load_cert_chain(client.certificate, client.key)
    return context
