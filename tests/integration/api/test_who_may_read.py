"""Who is answered: by token, or by the word of a proxy that is trusted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from rushes_normalizer.api.access import UnreadableAccessError, hash_of, read_access_list
from rushes_normalizer.api.settings import ApiSettings
from rushes_runtime.settings import nest_variables

from tests.integration.api.consumer import ACCESS, ALL, ONE, OTHER_PROJECT, PROJECT, bearer, served
from tests.integration.normalizer.kept_previews import keep, kept_preview
from tests.world import PATIENCE, World, eventually

PROXY = {
    "API_PROXY_ADDRESSES": "127.0.0.1/32, ::1",
    "API_PROXY_USER_HEADER": "X-Forwarded-User",
    "API_PROXY_GROUPS_HEADER": "X-Forwarded-Groups",
}


def _from_proxy(groups: str, user: str = "Ada") -> dict[str, str]:
    return {"X-Forwarded-User": user, "X-Forwarded-Groups": groups}


async def test_nobody_is_answered_without_a_token_that_is_known(world: World) -> None:
    paths = ("/previews", "/previews/needs-attention", f"/previews/{PROJECT}", "/status-changes")
    async with served(world) as api:
        for path in paths:
            for headers in ({}, bearer("guess"), {"Authorization": f"Basic {ALL}"}, {"Authorization": "Bearer"}):
                answer = await api.ask(path, None, headers=headers)
                assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), (path, headers)
            shown_hash = await api.ask(path, hash_of(ALL))
            assert shown_hash.status == 401, "the hash in the list is no token"
        refused = await api.ask(f"/previews/{PROJECT}/renormalize", None, "POST", json={"reason": "x"})
        assert refused.status == 401
        assert (await api.ask("/previews", headers={"Authorization": f"bearer {ALL}"})).status == 200


async def test_a_token_that_is_taken_back_counts_no_more_from_the_next_call_on(world: World, tmp_path: Path) -> None:
    file = tmp_path / "access.json"
    file.write_text(json.dumps(ACCESS))
    settings = {"API_ACCESS_FILE": str(file), "API_STREAM_HEARTBEAT": "0.1"}
    async with served(world, **settings) as api, api.stream(ONE) as stream, api.stream(ALL) as other:
        file.write_text(json.dumps({"tokens": ACCESS["tokens"][:1]}))
        assert (await api.ask("/previews", ONE)).status == 401
        assert (await api.ask("/previews", ALL)).status == 200
        with pytest.raises(EOFError):  # a stream ends, too
            await asyncio.wait_for(stream.event(), PATIENCE)
        file.write_text("half of a fi")
        assert (await api.ask("/previews", ALL)).status == 200, "what cannot be read changes nothing"
        beats = other.comments
        await eventually(lambda: _beat_after(other, beats))


async def _beat_after(stream: Any, beats: int) -> bool:
    await stream._block()
    return bool(stream.comments > beats)


async def test_a_trusted_proxy_says_who_calls_and_their_groups_say_what_they_may(world: World) -> None:
    mine, others = kept_preview(project_id=PROJECT), kept_preview(project_id=OTHER_PROJECT)
    async with served(world, **PROXY) as api:
        await keep(api.database, mine, others)

        async def ask(path: str, groups: str, token: str | None = None, **more: str) -> Any:
            return await api.ask(path, token, headers={**_from_proxy(groups), **more})

        for groups in ("supervisors", "crew, supervisors", "supervisors,crew"):
            assert (await ask(f"/previews/{mine.id}", groups)).status == 200
            assert (await ask(f"/previews/{others.id}", groups)).status == 404
        for groups in ("", "crew", "supervisor", "supervisors2", "wall"):
            assert (await ask("/previews", groups)).status == 403, groups
        # A proxy hands on its own token beside whom it names.
        assert (await ask(f"/previews/{others.id}", "supervisors", ALL)).status == 404
        assert (await api.ask("/previews", ALL)).status == 200, "who comes by themselves shows a token"
        twice = [("X-Forwarded-User", "Ada"), ("X-Forwarded-User", "Eve"), ("X-Forwarded-Groups", "supervisors")]
        async with api.client.get(f"{api.address}/previews", headers=twice) as answer:
            assert answer.status == 401


@pytest.mark.parametrize("settings", [{}, {**PROXY, "API_PROXY_ADDRESSES": "10.0.0.0/8"}])
async def test_from_anybody_else_a_proxys_header_is_only_a_header(world: World, settings: dict[str, str]) -> None:
    async with served(world, **settings) as api:
        assert (await api.ask("/previews", None, headers=_from_proxy("supervisors"))).status == 401
        forwarded = {**_from_proxy("supervisors"), "X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1"}
        assert (await api.ask("/previews", None, headers=forwarded)).status == 401


async def test_each_token_has_a_rate_of_its_own(world: World) -> None:
    async with served(world, API_REQUESTS_PER_MINUTE="1", API_BURST="3") as api:
        answers = [await api.ask("/previews", ONE) for _ in range(5)]
        assert [each.status for each in answers] == [200, 200, 200, 429, 429]
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
        assert (await api.ask("/previews", ALL)).status == 200
        assert (await api.ask("/previews", "guess")).status == 401


async def test_an_address_that_guesses_tokens_is_not_answered_any_more(world: World) -> None:
    async with served(world, API_GUESSES_PER_MINUTE="3") as api:
        answers = [await api.ask("/previews", f"guess {number}") for number in range(5)]
        assert [each.status for each in answers] == [401, 401, 401, 429, 429]
        for answer in (answers[-1], await api.ask("/previews", ALL), await api.ask("/status-changes", ALL)):
            assert answer.status == 429, "a right guess tells nothing either"
            assert 0 < int(answer.headers["Retry-After"]) <= 20
            assert answer.body["detail"].startswith("too many unknown tokens came from your address")


async def test_who_shows_a_token_that_was_taken_back_keeps_nobody_out(world: World) -> None:
    async with served(world, API_GUESSES_PER_MINUTE="2", API_REQUESTS_PER_MINUTE="1", API_BURST="3") as api:
        answers = [(await api.ask("/previews", "taken back")).status for _ in range(5)]
        assert answers == [401, 401, 401, 429, 429]
        assert (await api.ask("/previews", ALL)).status == 200


@pytest.mark.parametrize(("proxies", "told_apart"), [("127.0.0.1,10.0.0.0/8", True), ("10.0.0.0/8", False)])
async def test_where_a_call_comes_from_only_a_named_proxy_may_say(world: World, proxies: str, told_apart: bool) -> None:
    async with served(world, API_GUESSES_PER_MINUTE="1", API_PROXY_ADDRESSES=proxies) as api:

        async def status(forwarded: str, token: str) -> int:
            return (await api.ask("/previews", token, headers={"X-Forwarded-For": forwarded})).status

        assert await status("192.0.2.1, 10.0.0.7", "guess") == 401
        # What the caller itself wrote stands first, and counts for nothing.
        assert await status("192.0.2.9, 192.0.2.1", ALL) == 429
        assert await status("192.0.2.2", ALL) == (200 if told_apart else 429)
        assert await status("192.0.2.1, nonsense", ALL) == (200 if told_apart else 429), "the proxy's own, then"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "API_ACCESS_FILE, or API_ACCESS"),
        ({"API_ACCESS": "{}", "API_PROXY_USER_HEADER": "X-User"}, "go together"),
        ({"API_ACCESS": "{}", **PROXY, "API_PROXY_ADDRESSES": ""}, "need API_PROXY_ADDRESSES"),
        ({"API_ACCESS": "{}", **PROXY, "API_PROXY_ADDRESSES": "10.0.0.1/8"}, "has host bits set"),
        ({"API_ACCESS": "{}", "API_TLS_CERTFILE": __file__}, "API_TLS_CERTFILE and API_TLS_KEYFILE go together"),
        ({"API_ACCESS": "{}", "API_ACCESS_FILE": __file__}, "API_ACCESS and API_ACCESS_FILE"),
    ],
)
def test_settings_that_would_let_in_whom_they_should_not_are_refused(
    world: World, settings: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ApiSettings(**nest_variables({**world.environment, **settings}))


SECRET = "a" * 63 + "!"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "[]",
        '{"tokens": [{"name": "a"}]}',
        json.dumps({"tokens": [{"name": "a", "sha256": SECRET, "projects": "all"}]}),
        json.dumps({"tokens": [{"name": "a", "sha256": "a" * 64, "projects": "some"}]}),
        json.dumps({"tokens": [{"name": "a", "sha256": "a" * 64, "projects": "all", "renormalise": True}]}),
        json.dumps({"tokens": [{"name": "a", "sha256": each * 64, "projects": "all"} for each in "ab"]}),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_without_telling_what_it_holds(wrong: str) -> None:
    with pytest.raises(UnreadableAccessError, match="who may use the API cannot be read") as caught:
        read_access_list(wrong)
    assert SECRET not in str(caught.value)


async def test_the_command_makes_a_token_that_works(world: World) -> None:
    made = [
        await world.command("rushes-normalizer", "api-token", "wall", "--project-id", str(PROJECT), "--renormalize"),
        await world.command("rushes-normalizer", "api-token", "farm", "--all-projects"),
    ]
    assert [code for code, _, _ in made] == [0, 0], made
    access = {"tokens": [json.loads(out) for _, out, _ in made]}
    tokens = [said.strip().removeprefix("token: ") for _, _, said in made]
    async with served(world, access) as api:
        for token in tokens:
            assert (await api.ask("/previews", token)).status == 200
    assert not any(token in out for token in tokens for _, out, _ in made)
    code, _, said = await world.command("rushes-normalizer", "api-token", "wall")
    assert (code, "--all-projects" in said) == (2, True)
