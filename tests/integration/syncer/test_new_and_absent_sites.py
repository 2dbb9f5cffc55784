"""A new site counts as bootstrapped once it has taken in what was there; one that was away reconciles its ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from rushes_runtime.envelopes import Received
from rushes_runtime.health import Health
from rushes_runtime.intake import Intake, Refused
from rushes_schemas import PreviewStatus
from rushes_syncer import sites
from rushes_syncer.bootstrap import Bootstrap
from rushes_syncer.deciding import Decision
from rushes_syncer.intake import CONTRACTS_BY_TOPIC, StatusIntake
from rushes_syncer.reconciling import Reconciler, TooManyGoneError, reconcile
from rushes_syncer.sites import SitePreview
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.integration.syncer.follower import Follower, change, follower
from tests.world import PATIENCE, World, eventually, playing


class _Held:
    """Takes batches in only once it may."""

    def __init__(self, handler: StatusIntake) -> None:
        self._handler = handler
        self.may = asyncio.Event()
        self.asked = asyncio.Event()

    async def handle(self, connection: AsyncConnection, events: Sequence[Received]) -> list[Refused]:
        self.asked.set()
        await self.may.wait()
        return await self._handler.handle(connection, events)


def _intake(lyon: Follower, handler: StatusIntake | _Held) -> Intake:
    settings = lyon.world.syncer_settings()
    return Intake(
        service="syncer",
        group=f"{settings.instance}.syncer.lyon",
        kafka=settings.kafka,
        contracts=CONTRACTS_BY_TOPIC,
        database=lyon.database,
        handler=handler,
        health=Health(),
        took_in=lambda: None,
        tombstones=True,
        polled=Bootstrap("lyon", lyon.database).polled,
    )


@pytest.mark.each_broker
async def test_a_new_site_is_bootstrapped_once_it_is_past_what_the_topic_held_at_its_start(world: World) -> None:
    previews = [uuid4() for _ in range(6)]
    async with follower(world) as lyon:
        files = {each: await lyon.publish(each, b"x") for each in previews}
        await world.send(*(change(each, 1, PreviewStatus.READY, files[each]) for each in previews))
        bootstrapped = "SELECT bootstrapped_at FROM site WHERE name = 'lyon' AND bootstrapped_at IS NOT NULL"
        held = _Held(StatusIntake("lyon", world.syncer_settings().rules_of("lyon")))
        async with playing(_intake(lyon, held)):
            await asyncio.wait_for(held.asked.wait(), PATIENCE)
            assert not await lyon.database.fetch(bootstrapped), "nothing is taken in yet"
            held.may.set()
            (first,) = await eventually(lambda: lyon.database.fetch(bootstrapped))
        code, said, errors = await world.command("rushes-syncer", "sites", "--json")
        assert code == 0, errors
        (told,) = json.loads(said)["sites"]
        assert told["bootstrapped_at"]
        assert (told["wanted_previews"], told["waiting"], told["previews"], told["bytes"]) == (6, 6, 0, 0)
        assert told["wanted_bytes"] == sum(stored.bytes for each in previews for stored in files[each][1:])
        async with playing(lyon.worker):
            code, said, errors = await world.command("rushes-syncer", "sites", "--follow", "--json")
        (done,) = json.loads(said)["sites"]
        assert (done["previews"], done["waiting"], done["bytes"]) == (6, 0, told["wanted_bytes"]), errors
        async with playing(_intake(lyon, StatusIntake("lyon", world.syncer_settings().rules_of("lyon")))):
            await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site WHERE polled_at > bootstrapped_at"))
        assert [tuple(row) for row in await lyon.database.fetch(bootstrapped)] == [tuple(first)], "once, and for good"


async def _remember(lyon: Follower, preview: UUID, files: list[Any]) -> None:
    """A record that the site took in long ago."""
    row = SitePreview("lyon", preview, 1, "ready", None, tuple(files), False, Decision.COPY)
    async with lyon.database.begin() as connection:
        await sites.save(connection, [row])


async def _deleted(lyon: Follower) -> set[UUID]:
    rows = await lyon.database.fetch("SELECT preview_file_id FROM site_preview WHERE deleted")
    return {row.preview_file_id for row in rows}


@pytest.mark.extended
async def test_a_site_that_was_away_for_longer_than_tombstones_live_learns_what_was_deleted(world: World) -> None:
    there, gone, ended = uuid4(), uuid4(), uuid4()
    async with follower(world.with_settings(PRUNE="true")) as lyon:
        files = {each: await lyon.publish(each, b"x") for each in (there, gone, ended)}
        async with playing(lyon.intake, lyon.worker):
            await world.send(*(change(each, 1, PreviewStatus.READY, files[each]) for each in (there, ended)))
            await eventually(lyon.held, lambda held: len(held) == 4)
        await _remember(lyon, gone, files[gone])
        async with world.producer() as producer:
            await producer.send_and_wait(f"{world.prefix}status-changed", key=str(ended).encode(), value=None)
        rules = lyon.world.syncer_settings().rules_of("lyon")
        roles = (
            _intake(lyon, StatusIntake("lyon", rules)),
            lyon.worker,
            Reconciler(lyon.database, world.syncer_settings().kafka, "lyon", rules),
        )
        await lyon.database.fetch("UPDATE site SET polled_at = now() - interval '6 days' RETURNING 1")
        async with playing(*roles):
            await eventually(lambda: lyon.database.fetch("SELECT 1 FROM site WHERE polled_at > now() - interval '1 h'"))
            assert not await _deleted(lyon), "tombstones of six days are still there to be read"
        await lyon.database.fetch("UPDATE site SET polled_at = now() - interval '8 days' RETURNING 1")
        roles = (_intake(lyon, StatusIntake("lyon", rules)), *roles[1:])
        async with playing(*roles):
            await eventually(lambda: _deleted(lyon), lambda deleted: deleted == {gone, ended})
            left = await eventually(lyon.held, lambda held: len(held) == 2)
        assert {str(there) in key for key in left} == {True}
        (row,) = await lyon.database.fetch("SELECT must_reconcile FROM site")
        assert not row.must_reconcile


async def test_a_topic_that_lacks_most_of_what_a_site_knows_is_not_believed(world: World) -> None:
    async with follower(world) as lyon:
        for _ in range(12):
            await _remember(lyon, uuid4(), [])
        settings = world.syncer_settings()
        rules = settings.rules_of("lyon")
        with pytest.raises(TooManyGoneError, match="12 of 12 previews"):
            await reconcile(lyon.database, settings.kafka, "lyon", rules)
        assert not await _deleted(lyon)
        code, said, _ = await world.command("rushes-syncer", "reconcile", "--dry-run")
        assert (code, "12 of 12 previews would be marked as deleted" in said) == (0, True)
        assert (await world.command("rushes-syncer", "reconcile"))[0] == 1
        assert not await _deleted(lyon)
        assert (await world.command("rushes-syncer", "reconcile", "--force"))[0] == 0
        assert len(await _deleted(lyon)) == 12
