"""Wires the normalizer's roles from its settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import structlog
from rushes_runtime.circuits import Circuits, NeededStore
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.service import process_name
from rushes_runtime.store import open_store
from rushes_runtime.waiting import Hint
from rushes_runtime.wiring import retry_policy, run_roles

from rushes_normalizer.attention_endpoint import attention_route
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC, UploadIntake, group_of
from rushes_normalizer.looking import SourceLooker
from rushes_normalizer.media.tools import find_tools
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.sandbox_check import check_sandbox
from rushes_normalizer.settings import NormalizerSettings
from rushes_normalizer.workshop import PreviewWorkshop

log = structlog.get_logger(__name__)

MIGRATIONS: Final = Path(__file__).parent / "migrations"


async def run(settings: NormalizerSettings, roles: frozenset[str]) -> int:
    """Run roles of the normalizer until a signal; the exit code.

    Raises:
        ToolsError: ffmpeg or ffprobe is not good enough.
        SandboxError: they would run unconfined, and the settings forbid it.
        InstanceMismatchError: database or store belong to another instance.
    """
    async with AsyncExitStack() as resources:
        database = Database.of(settings, SCHEMA)
        resources.push_async_callback(database.close)
        store = await resources.enter_async_context(open_store(settings.store))
        tools = find_tools(settings.ffmpeg, settings.ffprobe)
        log.info("tools", ffmpeg=tools.ffmpeg_version, ffprobe=tools.ffprobe_version, path=str(tools.ffmpeg))
        if "worker" in roles:
            await check_sandbox(tools, settings.limits(), required=settings.require_sandbox)

        def make_intakes(health: Health, wake: Callable[[], None]) -> list[Intake]:
            intake = Intake(
                service="normalizer",
                group=group_of(settings.instance),
                kafka=settings.kafka,
                contracts=CONTRACTS_BY_TOPIC,
                database=database,
                handler=UploadIntake(settings),
                health=health,
                took_in=wake,
            )
            return [intake]

        workshop = PreviewWorkshop(settings, database, store, tools)

        def make_looker(health: Health, circuits: Circuits, ended: Hint) -> SourceLooker:
            return SourceLooker(
                name=process_name(),
                settings=settings,
                database=database,
                store=store,
                workshop=workshop,
                policy=retry_policy(settings, settings.missing_confirm_after),
                health=health,
                circuits=circuits,
                ended=ended,
            )

        return await run_roles(
            settings,
            "normalizer",
            roles,
            database=database,
            migrations=MIGRATIONS,
            stores=[NeededStore("main", store, written=True)],
            workshop=workshop,
            make_intakes=make_intakes,
            confirm_absence_after=settings.missing_confirm_after,
            takes=settings.takes,
            beside_worker=make_looker,
            routes=[attention_route(database)] if settings.operations_attention else [],
        )
