"""The normalizer's roles, built in a test as the service builds them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from rushes_normalizer.intake import CONTRACTS_BY_TOPIC, UploadIntake, group_of
from rushes_normalizer.looking import SourceLooker
from rushes_normalizer.settings import NormalizerSettings
from rushes_normalizer.transitions import Published
from rushes_normalizer.workshop import PreviewWorkshop
from rushes_runtime.circuits import NeededStore
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.janitor import Janitor
from rushes_runtime.relay import Relay
from rushes_runtime.store import Store
from rushes_runtime.waiting import Hint
from rushes_runtime.wiring import make_circuits, make_janitor, make_relay, make_worker, retry_policy
from rushes_runtime.worker import Worker

from tests.movies import tools
from tests.world import World


@dataclass
class Parts:
    """Roles on one database and one store."""

    settings: NormalizerSettings
    database: Database
    store: Store
    health: Health
    workshop: PreviewWorkshop

    def intake(self) -> Intake:
        return Intake(
            service="normalizer",
            group=group_of(self.settings.instance),
            kafka=self.settings.kafka,
            contracts=CONTRACTS_BY_TOPIC,
            database=self.database,
            handler=UploadIntake(self.settings),
            health=self.health,
            took_in=lambda: None,
        )

    def relay(self) -> Relay:
        return make_relay(self.settings, "normalizer", self.database, self.health)

    def janitor(self) -> Janitor:
        return make_janitor(self.settings, self.database, self.workshop, self.health)

    def worker(self, name: str = "worker") -> Worker[Published | None]:
        return make_worker(
            self.settings.model_copy(update={"scratch": self.settings.scratch / name}),
            self.database,
            self.workshop,
            self.health,
            circuits=make_circuits(self.settings, [NeededStore("main", self.store)]),
            confirm_absence_after=self.settings.missing_confirm_after,
            ended=Hint(),
            takes=self.settings.takes,
        )

    def looker(self, name: str = "looker") -> SourceLooker:
        return SourceLooker(
            name=name,
            settings=self.settings,
            database=self.database,
            store=self.store,
            workshop=self.workshop,
            policy=retry_policy(self.settings, self.settings.missing_confirm_after),
            health=self.health,
            circuits=make_circuits(self.settings, [NeededStore("main", self.store)]),
            ended=Hint(),
        )


@asynccontextmanager
async def parts_of(world: World) -> AsyncIterator[Parts]:
    """The normalizer's parts, with database and store ready."""
    async with AsyncExitStack() as resources:
        database = await resources.enter_async_context(world.normalizer_database())
        store = await resources.enter_async_context(world.store())
        settings = world.normalizer_settings()
        workshop = PreviewWorkshop(settings, database, store, tools())
        yield Parts(settings, database, store, Health(), workshop)
