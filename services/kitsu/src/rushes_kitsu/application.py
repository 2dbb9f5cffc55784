"""Wires the bridge's parts from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from rushes_normalizer.media.tools import find_tools
from rushes_normalizer.sandbox_check import check_sandbox
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime import metrics
from rushes_runtime.circuits import NeededStore
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.migrations import check_schema
from rushes_runtime.service import Need, run_service
from rushes_runtime.store import open_store
from rushes_runtime.wiring import make_janitor, make_relay, run_roles

from rushes_kitsu.builder import Builder
from rushes_kitsu.chores import DispatchChores
from rushes_kitsu.dispatches import SCHEMA
from rushes_kitsu.follower import Follower
from rushes_kitsu.nomad_server import NomadServer
from rushes_kitsu.outcomes import CONTRACTS_BY_TOPIC, OutcomeIntake
from rushes_kitsu.passing_on import open_onward
from rushes_kitsu.registering import Registrar
from rushes_kitsu.settings import KitsuSettings
from rushes_kitsu.zou_api import open_zou_api
from rushes_kitsu.zou_rows import ZouDatabase

MIGRATIONS: Final = Path(__file__).parent / "migrations"
SERVICE: Final = "kitsu"


async def serve(settings: KitsuSettings) -> int:
    """Answer Zou until a signal; the exit code. Several processes share the work.

    Raises:
        InstanceMismatchError: the database belongs to another instance.
    """
    async with AsyncExitStack() as resources:
        database = Database.of(settings, SCHEMA)
        resources.push_async_callback(database.close)
        zou = await resources.enter_async_context(_zou_database(settings))
        onward = await resources.enter_async_context(open_onward(settings.pass_on_to))
        health = Health()
        metrics.DATABASE_ANSWERED.set_to_current_time()
        relay = make_relay(settings, SERVICE, database, health)
        intake = Intake(
            service=SERVICE,
            group=f"{settings.instance}.{SERVICE}",
            kafka=settings.kafka,
            contracts=CONTRACTS_BY_TOPIC,
            database=database,
            handler=OutcomeIntake(),
            health=health,
            took_in=lambda: None,
            tombstones=True,
        )
        return await run_service(
            health=health,
            operations=(settings.operations_host, settings.operations_port),
            needs=[Need("PostgreSQL", lambda: check_schema(database, MIGRATIONS, settings.instance))],
            front=[NomadServer(settings, database, onward, health, relay.hint.give, zou), intake],
            back=[relay, make_janitor(settings, database, DispatchChores(float(settings.retention)), health)],
        )


async def build(settings: KitsuSettings, media: NormalizerSettings) -> int:
    """Build playlists and tiles until a signal; the exit code.

    Args:
        media: what a movie may cost, how it is coded, and by which programs.

    Raises:
        ToolsError: ffmpeg or ffprobe is not good enough.
        SandboxError: they would run unconfined, and the settings forbid it.
        InstanceMismatchError: the database or the store belongs to another instance.
    """
    async with AsyncExitStack() as resources:
        database = Database.of(settings, SCHEMA)
        resources.push_async_callback(database.close)
        store = await resources.enter_async_context(open_store(settings.store))
        tools = find_tools(media.ffmpeg, media.ffprobe)
        await check_sandbox(tools, media.limits(), required=media.require_sandbox)
        return await run_roles(
            settings,
            SERVICE,
            frozenset({"worker"}),
            database=database,
            migrations=MIGRATIONS,
            stores=[NeededStore("main", store, written=True)],
            workshop=Builder(settings.instance, float(settings.retention), media, database, store, tools),
            make_intakes=lambda _health, _wake: [],
            confirm_absence_after=media.missing_confirm_after,
        )


async def follow(settings: KitsuSettings) -> int:
    """Keep Zou true to what Rushes has made, until a signal; the exit code.

    Raises:
        InstanceMismatchError: the database belongs to another instance.
    """
    async with AsyncExitStack() as resources:
        database = Database.of(settings, SCHEMA)
        resources.push_async_callback(database.close)
        zou = await resources.enter_async_context(open_zou_api(settings))
        tables = await resources.enter_async_context(_zou_database(settings))
        health = Health()
        follower = Follower(
            database,
            zou,
            health,
            interval=settings.follow_interval,
            patience=timedelta(seconds=settings.follow_patience),
            expose_missing=settings.expose_missing,
        )
        registrars = [Registrar(database, tables, health, interval=settings.follow_interval)] if tables else []
        return await run_service(
            health=health,
            operations=(settings.operations_host, settings.operations_port),
            needs=[Need("PostgreSQL", lambda: check_schema(database, MIGRATIONS, settings.instance))],
            front=[follower, *registrars],
            back=[],
        )


@asynccontextmanager
async def _zou_database(settings: KitsuSettings) -> AsyncIterator[ZouDatabase | None]:
    """Zou's database, for as long as the block runs; None: it was not given."""
    url = settings.read_zou_database_url()
    database = ZouDatabase(url) if url else None
    try:
        yield database
    finally:
        if database:
            await database.close()
