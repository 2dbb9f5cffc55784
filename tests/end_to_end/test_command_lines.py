"""The command lines, as a person or a script uses them."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import ClientError, ClientSession
from rushes_embedded.studio import command_of
from typer.testing import CliRunner

from tests.movies import ffmpeg
from tests.world import World, eventually, free_port


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of film, under a name with a space."""
    path = tmp_path_factory.mktemp("shots") / "shot 010.mov"
    source = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=24:duration=1", "-pix_fmt", "yuv420p"]
    ffmpeg(*source, path)
    return path


@pytest.mark.parametrize(
    ("service", "commands"),
    [
        ("normalizer", ["run", "migrate", "renormalize", "attention", "publish", "dead-letters", "republish"]),
        ("syncer", ["run", "migrate", "full"]),
        ("embedded", ["demo", "up", "down"]),
    ],
)
def test_help_teaches_every_command(service: str, commands: list[str]) -> None:
    program = [*command_of(f"rushes-{service}"), "--help"]
    asked = subprocess.run(program, env={"COLUMNS": "200"}, capture_output=True, text=True, check=True)
    app = importlib.import_module(f"rushes_{service}.command_line").app
    for command in commands:
        assert command in asked.stdout
        own = CliRunner().invoke(app, [command, "--help"])
        assert (own.exit_code, "Usage" in own.stdout) == (0, True), own.output


async def test_all_wrong_settings_are_named_at_once_and_no_secret_is_shown(world: World) -> None:
    code, _, errors = await world.command(
        "rushes-normalizer",
        "run",
        SLOTS="many",
        LEASE="-1",
        KAFKA__SECURITY_PROTOCOL="SASL_SSL",
        STORE__KIND="tape",
        DATABASE_URL="",
        STORE__SECRET_ACCESS_KEY="hidden-secret",
    )
    assert code == 2
    for name in ("SLOTS", "LEASE", "KAFKA", "STORE__KIND"):
        assert name in errors, errors
    assert "hidden-secret" not in errors
    assert "Traceback" not in errors


def test_missing_settings_say_what_they_mean() -> None:
    process = subprocess.run(
        [*command_of("rushes-normalizer"), "run"], env={"PATH": "/usr/bin"}, capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    for name in ("DATABASE_URL", "KAFKA__BOOTSTRAP_SERVERS", "STORE__KIND"):
        assert f"{name} is not set" in process.stderr


@pytest.mark.extended
async def test_another_instances_database_is_refused_with_code_2(world: World) -> None:
    await world.prepare()
    code, _, errors = await world.command("rushes-normalizer", "run", INSTANCE="another")
    assert code == 2
    assert "another" in errors


@pytest.mark.extended
@pytest.mark.parametrize("service", ["rushes-normalizer", "rushes-syncer"])
async def test_a_wait_for_the_migration_ends_when_another_process_has_migrated(bare_world: World, service: str) -> None:
    waiting = bare_world.process(service, "migrate", "--wait", log="waiting")
    try:
        await eventually(lambda: asyncio.to_thread(waiting.log.read_text), lambda said: "run migrate" in said)
        assert waiting.poll() is None
        assert (await bare_world.command(service, "migrate"))[0] == 0
        assert await eventually(lambda: asyncio.to_thread(waiting.poll), lambda code: code is not None) == 0
    finally:
        bare_world.stop_processes()


@pytest.mark.extended
async def test_a_wait_for_the_migration_outlasts_a_database_that_is_away_and_ends_when_told(world: World) -> None:
    away = f"postgresql+asyncpg://user:password@127.0.0.1:{free_port()}/database"
    waiting = world.process("rushes-normalizer", "migrate", "--wait", log="waiting", DATABASE_URL=away)
    try:
        await eventually(lambda: asyncio.to_thread(waiting.log.read_text), lambda said: "waiting: " in said)
        assert waiting.poll() is None
        assert waiting.stop() == 1  # 143 without a handler, which the first process of a container needs
    finally:
        world.stop_processes()


async def test_a_wait_for_the_migration_changes_nothing_else(world: World) -> None:
    code, _, errors = await world.command("rushes-normalizer", "migrate", "--wait", "--store")
    assert code == 2
    assert "--wait changes nothing" in errors


@pytest.mark.extended
async def test_publish_attention_renormalize_and_full_work_together(world: World, movie: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.mp4"
    notes.write_text("more smoke\n" * 50)
    for service in ("rushes-normalizer", "rushes-syncer"):
        assert (await world.command(service, "migrate", "--store"))[0] == 0
    project = str(uuid4())
    world.process("rushes-normalizer", "run", log="normalizer")
    try:
        code, said, errors = await world.command(
            "rushes-normalizer", "publish", str(movie), "--project-id", project, "--wait", "--json"
        )
        assert code == 0, errors
        ready = json.loads(said)
        assert ready["outcome"] == "ready"
        code, said, _ = await world.command("rushes-normalizer", "publish", str(notes), "--wait", "--json")
        assert (code, json.loads(said)["outcome"]) == (1, "broken")
        broken = json.loads(said)["preview_file_id"]

        code, said, _ = await world.command("rushes-normalizer", "attention", "--json")
        assert [(row["id"], row["code"]) for row in json.loads(said)["previews"]] == [(broken, "not_a_movie")]
        code, said, _ = await world.command("rushes-normalizer", "attention")
        assert broken in said

        code, _, errors = await world.command("rushes-normalizer", "renormalize", "--project-id", project)
        assert code == 1
        assert "--all-broken" in errors
        code, said, _ = await world.command("rushes-normalizer", "renormalize", "--all-broken", "--dry-run", "--json")
        assert [row["preview_file_id"] for row in json.loads(said)["requested"]] == [broken]
        code, said, _ = await world.command("rushes-normalizer", "renormalize", "--all-broken", "--wait", "--json")
        assert (code, json.loads(said)["requested"][0]["outcome"]) == (1, "broken")
        code, said, _ = await world.command(
            "rushes-normalizer", "renormalize", "--preview-file-id", ready["preview_file_id"], "--wait"
        )
        assert code == 0, said
        code, _, errors = await world.command("rushes-normalizer", "renormalize", "--all-missing")
        assert (code, "no preview fits" in errors) == (1, True)

        code, said, errors = await world.command("rushes-syncer", "full", "--json")
        assert code == 0, errors
        assert json.loads(said)["sites"][0]["copied"] == 7
    finally:
        world.stop_processes()


@pytest.mark.extended
@pytest.mark.parametrize(("settings", "status"), [({}, 404), ({"OPERATIONS_ATTENTION": "true"}, 200)])
async def test_attention_is_served_only_if_a_setting_says_so(
    world: World, settings: dict[str, str], status: int
) -> None:
    await world.prepare()
    port = free_port()
    world.process("rushes-normalizer", "run", "--roles", "relay", OPERATIONS_PORT=str(port), **settings)

    async def answer() -> int | None:
        with suppress(ClientError):
            async with ClientSession() as client, client.get(f"http://127.0.0.1:{port}/attention") as answered:
                return answered.status
        return None

    try:
        assert await eventually(answer) == status
    finally:
        world.stop_processes()


async def test_a_wrong_wish_is_refused_before_anything_is_stored(world: World, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"x")
    code, _, errors = await world.command("rushes-normalizer", "publish", str(picture), "--fps", "fast")
    assert code == 2
    assert "fast" in errors
