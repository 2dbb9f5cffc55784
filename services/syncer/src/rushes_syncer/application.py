"""Wires the syncer's roles from its settings."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.migrations import check_schema
from rushes_runtime.service import Need, Role, process_name, run_service
from rushes_runtime.store import open_store, prove_whole
from rushes_runtime.wiring import make_janitor, make_relay, make_worker

from rushes_syncer.deciding import SyncRules
from rushes_syncer.full import BUCKETS
from rushes_syncer.intake import CONTRACTS_BY_TOPIC, StatusIntake
from rushes_syncer.settings import SyncerSettings
from rushes_syncer.sites import SCHEMA
from rushes_syncer.workshop import CopyWorkshop

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_CONFIRM_ABSENCE_AFTER: Final = 60.0  # copies end with absent objects counted; nothing asks for a second look


def rules_of(settings: SyncerSettings) -> SyncRules:
    """What decides about copies."""
    return SyncRules(settings.skip_broken, settings.skip_missing, settings.sync_source_movies)


async def run(settings: SyncerSettings, roles: frozenset[str], only_sites: frozenset[str]) -> int:
    """Run roles of the syncer for some sites until a signal; the exit code.

    Raises:
        InstanceMismatchError: database or stores belong to another instance.
    """
    health = Health()
    rules = rules_of(settings)
    async with AsyncExitStack() as resources:
        database = Database.of(settings, SCHEMA)
        resources.push_async_callback(database.close)
        main = await resources.enter_async_context(open_store(settings.store))
        stores = {
            name: await resources.enter_async_context(open_store(settings.sites[name])) for name in sorted(only_sites)
        }
        workshop = CopyWorkshop(database, main, stores, rules, settings.instance)

        async def stores_are_whole() -> None:
            for store in (main, *stores.values()):
                for bucket in BUCKETS:
                    await prove_whole(store, bucket, settings.instance)

        needs = [Need("PostgreSQL", lambda: check_schema(database, MIGRATIONS, settings.instance))]
        front: list[Role] = []
        back: list[Role] = []
        relay = make_relay(settings, "syncer", database, health)
        hints = [relay.hint]

        def wake() -> None:
            for hint in hints:
                hint.give()

        if "worker" in roles:
            needs.append(Need("the stores", stores_are_whole))
            own = settings.model_copy(update={"scratch": settings.scratch / process_name()})
            worker = make_worker(
                own,
                database,
                workshop,
                health,
                confirm_absence_after=_CONFIRM_ABSENCE_AFTER,
                ended=relay.hint,
            )
            hints.append(worker.hint)
            front.append(worker)
        if "intake" in roles:
            front += [
                Intake(
                    service="syncer",
                    group=f"{settings.instance}.syncer.{name}",
                    kafka=settings.kafka,
                    contracts=CONTRACTS_BY_TOPIC,
                    database=database,
                    handler=StatusIntake(name, rules),
                    health=health,
                    took_in=wake,
                    tombstones=True,
                )
                for name in stores
            ]
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
