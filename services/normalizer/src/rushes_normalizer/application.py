"""Wires the normalizer's roles from its settings."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import structlog
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.migrations import check_schema
from rushes_runtime.service import Need, Role, process_name, run_service
from rushes_runtime.store import open_store, prove_whole
from rushes_runtime.waiting import Hint
from rushes_runtime.wiring import make_janitor, make_relay, make_worker
from rushes_schemas.outputs import FILES, MOVIES, PICTURES

from rushes_normalizer.intake import CONTRACTS_BY_TOPIC, UploadIntake
from rushes_normalizer.media.tools import find_tools
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.settings import NormalizerSettings
from rushes_normalizer.workshop import PreviewWorkshop

log = structlog.get_logger(__name__)

MIGRATIONS: Final = Path(__file__).parent / "migrations"
BUCKETS: Final = (MOVIES, PICTURES, FILES)


async def run(settings: NormalizerSettings, roles: frozenset[str]) -> int:
    """Run roles of the normalizer until a signal; the exit code.

    Raises:
        ToolsError: ffmpeg or ffprobe is not good enough.
        InstanceMismatchError: database or store belong to another instance.
    """
    health = Health()
    async with AsyncExitStack() as resources:
        database = Database.of(settings, SCHEMA)
        resources.push_async_callback(database.close)
        store = await resources.enter_async_context(open_store(settings.store))
        tools = find_tools(settings.ffmpeg, settings.ffprobe)
        log.info("tools", ffmpeg=tools.ffmpeg_version, ffprobe=tools.ffprobe_version, path=str(tools.ffmpeg))
        workshop = PreviewWorkshop(settings, database, store, tools)

        async def store_is_whole() -> None:
            for bucket in BUCKETS:
                await prove_whole(store, bucket, settings.instance)

        needs = [Need("PostgreSQL", lambda: check_schema(database, MIGRATIONS, settings.instance))]
        front: list[Role] = []
        back: list[Role] = []
        relay = make_relay(settings, "normalizer", database, health)
        woken: list[Hint] = [relay.hint]

        def wake() -> None:
            for hint in woken:
                hint.give()

        if "worker" in roles:
            needs.append(Need("the store", store_is_whole))
            own = settings.model_copy(update={"scratch": settings.scratch / process_name()})
            worker = make_worker(
                own,
                database,
                workshop,
                health,
                confirm_absence_after=settings.missing_confirm_after,
                ended=relay.hint,
            )
            woken.append(worker.hint)
            front.append(worker)
        if "intake" in roles:
            front.append(
                Intake(
                    service="normalizer",
                    group=f"{settings.instance}.normalizer",
                    kafka=settings.kafka,
                    contracts=CONTRACTS_BY_TOPIC,
                    database=database,
                    handler=UploadIntake(settings),
                    health=health,
                    took_in=wake,
                )
            )
        if "relay" in roles:
            back.append(relay)
        if "janitor" in roles:
            back.append(make_janitor(settings, database, workshop, health))
        return await run_service(
            health=health,
            operations=(settings.operations_host, settings.operations_port),
            needs=needs,
            front=front,
            back=back,
        )
