"""Wires the syncer's roles from its settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from rushes_runtime.circuits import NeededStore
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.service import Role
from rushes_runtime.store import open_store
from rushes_runtime.wiring import run_roles

from rushes_syncer.abandoned import AbandonedUploads
from rushes_syncer.bandwidth import Bandwidth
from rushes_syncer.bootstrap import Bootstrap
from rushes_syncer.forgetting import group_of
from rushes_syncer.intake import CONTRACTS_BY_TOPIC, StatusIntake
from rushes_syncer.reconciling import Reconciler
from rushes_syncer.settings import SyncerSettings
from rushes_syncer.sites import SCHEMA, subject_prefix
from rushes_syncer.workshop import CopyWorkshop

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_CONFIRM_ABSENCE_AFTER: Final = 10.0  # seconds between the two looks after which a copy does without an object


async def run(settings: SyncerSettings, roles: frozenset[str], only_sites: frozenset[str]) -> int:
    """Run roles of the syncer for some sites until a signal; the exit code.

    Raises:
        InstanceMismatchError: database or stores belong to another instance.
    """
    async with AsyncExitStack() as resources:
        database = Database.of(settings, SCHEMA)
        resources.push_async_callback(database.close)
        main = await resources.enter_async_context(open_store(settings.store))
        stores = {
            name: await resources.enter_async_context(open_store(settings.sites[name])) for name in sorted(only_sites)
        }

        rules = {name: settings.rules_of(name) for name in stores}
        bandwidths = {name: Bandwidth(settings.sites[name].bandwidth) for name in stores}

        def make_intakes(health: Health, wake: Callable[[], None]) -> list[Role]:
            intakes = [
                Intake(
                    service="syncer",
                    group=group_of(settings.instance, name),
                    kafka=settings.kafka,
                    contracts=CONTRACTS_BY_TOPIC,
                    database=database,
                    handler=StatusIntake(name, rules[name]),
                    health=health,
                    took_in=wake,
                    tombstones=True,
                    polled=Bootstrap(name, database).polled,
                )
                for name in stores
            ]
            return [*intakes, *(Reconciler(database, settings.kafka, name, rules[name]) for name in stores)]

        return await run_roles(
            settings,
            "syncer",
            roles,
            database=database,
            migrations=MIGRATIONS,
            stores=[
                NeededStore("main", main),
                *(NeededStore(name, store, subject_prefix(name), written=True) for name, store in stores.items()),
            ],
            workshop=CopyWorkshop(database, main, stores, rules, settings.instance, bandwidths),
            make_intakes=make_intakes,
            confirm_absence_after=_CONFIRM_ABSENCE_AFTER,
            beside_worker=lambda _health, _circuits, _ended: AbandonedUploads(stores),
            areas=sorted(stores),
        )
