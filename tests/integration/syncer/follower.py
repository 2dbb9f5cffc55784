"""The syncer's roles for a site, in one process, and what a normalizer leaves in the main store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rushes_normalizer.hashing import sha256_of
from rushes_runtime.circuits import NeededStore
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake
from rushes_runtime.store import SENTINEL_KEY, Store, Unconditional, open_store, place_sentinels
from rushes_runtime.waiting import Hint
from rushes_runtime.wiring import make_circuits, make_worker
from rushes_runtime.worker import Worker
from rushes_schemas import ObjectKind, PreviewStatus, StatusChanged, StoredFile, object_key
from rushes_schemas.outputs import BUCKETS, PLACES
from rushes_syncer.intake import CONTRACTS_BY_TOPIC, StatusIntake
from rushes_syncer.sites import subject_prefix
from rushes_syncer.survey import Sides
from rushes_syncer.workshop import CopyResult, CopyWorkshop

from tests.world import World

KINDS = (ObjectKind.SOURCE_MOVIE, ObjectKind.LOW_DEFINITION, ObjectKind.SQUARE_THUMBNAIL)


@dataclass
class Follower:
    """The syncer's roles for the site `lyon`."""

    world: World
    database: Database
    main: Store
    site: Store
    intake: Intake
    worker: Worker[CopyResult]

    async def publish(self, preview_file_id: UUID, content: bytes) -> list[StoredFile]:
        """Objects in the main store, as a normalizer leaves them."""
        files = []
        for kind in KINDS:
            path = self.world.folder / f"{kind}-{preview_file_id}"
            path.write_bytes(content + kind.encode())
            place, key = PLACES[kind], object_key(kind, preview_file_id)
            stat = await self.main.upload(
                place.bucket, key, path, content_type=place.content_type, condition=Unconditional()
            )
            values = {"kind": kind.value, "bucket": place.bucket, "key": key, "bytes": stat.bytes, "etag": stat.etag}
            files.append(StoredFile.model_validate({**values, "sha256": await sha256_of(path)}))
        return files

    async def held(self) -> set[str]:
        """Keys at the site."""
        return await keys_of(self.site)

    @property
    def sides(self) -> Sides:
        """Where a pass over the site looks."""
        return Sides(self.database, self.main, self.site, self.world.environment["INSTANCE"])


@asynccontextmanager
async def follower(world: World) -> AsyncIterator[Follower]:
    """The roles, with their database, main store and site."""
    async with AsyncExitStack() as resources:
        settings = world.syncer_settings()
        database = await resources.enter_async_context(world.syncer_database())
        main = await resources.enter_async_context(world.store())
        site = await resources.enter_async_context(open_store(settings.sites["lyon"]))
        await place_sentinels(site, BUCKETS, settings.instance)
        rules = {"lyon": settings.rules_of("lyon")}
        intake = Intake(
            service="syncer",
            group=f"{settings.instance}.syncer.lyon",
            kafka=settings.kafka,
            contracts=CONTRACTS_BY_TOPIC,
            database=database,
            handler=StatusIntake("lyon", rules["lyon"]),
            health=Health(),
            took_in=lambda: None,
            tombstones=True,
        )
        workshop = CopyWorkshop(database, main, {"lyon": site}, rules, settings.instance)
        stores = [NeededStore("main", main), NeededStore("lyon", site, subject_prefix("lyon"))]
        worker = make_worker(
            settings,
            database,
            workshop,
            Health(),
            circuits=make_circuits(settings, stores),
            confirm_absence_after=1,
            ended=Hint(),
        )
        yield Follower(world, database, main, site, intake, worker)


async def keys_of(store: Store) -> set[str]:
    """What stands in a store, but for sentinels."""
    return {stat.key for bucket in BUCKETS async for stat in store.list(bucket) if stat.key != SENTINEL_KEY}


def change(
    preview_file_id: UUID, version: int, status: PreviewStatus | str, files: list[StoredFile], **fields: Any
) -> StatusChanged:
    """A record of `status-changed`."""
    values: dict[str, Any] = {
        "preview_file_id": preview_file_id,
        "id": preview_file_id,
        "version": version,
        "fence": version,
        "status": status,
        "internal_status": status,
        "files": files,
        "occurred_at": datetime.now(UTC),
        **fields,
    }
    return StatusChanged.model_validate(values)


class Streamed:
    """A main store of which each object is copied as it streams by, however small."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def small(self, bucket: str) -> Streamed:
        return self

    def get(self, key: str) -> None:
        """It is not small."""
