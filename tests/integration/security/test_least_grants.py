"""With the grants of deploy/grants each process does its whole work, and nothing beside it."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import pytest
from rushes_runtime.database import Database
from rushes_runtime.settings import StoreSettings, nest_variables
from rushes_runtime.store import Store, StoreDeniedError, Unconditional, open_store
from rushes_schemas import PreviewDeleted, object_key
from rushes_schemas.outputs import BUCKETS, MOVIES, PICTURES, ObjectKind
from sqlalchemy import make_url

from tests.databases import migrate_all
from tests.integration.kitsu.bridge import ZOU_WAITS, Bridge
from tests.integration.kitsu.test_import import zou_database
from tests.integration.normalizer.processes import logged, upload_clip
from tests.integration.security.processes import log_of, started
from tests.secured import Secured
from tests.unit.kitsu.zou_payloads import playlist_payload, tile_payload
from tests.world import eventually, free_port, source_key, upload
from tests.zou_stand_in import zou_stand_in

pytestmark = pytest.mark.alone

DENIALS = ("permission denied", "AccessDenied", "Authorization", "storage_denied")


async def _migrated(secured: Secured) -> None:
    """All services migrate by the user for it; then the grants are brought up to date."""
    migration = secured.as_("migration")
    options = ("migrate", "--store", "--topics", "--partitions", "2", "--replicas", "1")
    for service in ("rushes-normalizer", "rushes-syncer", "rushes-kitsu"):
        own = [option for option in options if service != "rushes-kitsu" or option != "--store"]
        code, out, error = await migration.command(service, *own)
        assert code == 0, out + error
    secured.grant_in_database()


def _denials(secured: Secured) -> list[str]:
    """What processes logged of missing rights."""
    names = [log.stem for log in secured.world.folder.glob("*.log")]
    return [line for name in names for line in log_of(secured, name) if any(each in line for each in DENIALS)]


async def _status(database: Database, preview_file_id: UUID, status: str) -> None:
    statement = "SELECT status FROM preview_file WHERE id = :id"
    rows = await eventually(
        lambda: database.fetch(statement, id=preview_file_id),
        lambda rows: bool(rows) and rows[0].status != "processing",
    )
    assert rows[0].status == status


async def test_the_least_grants_are_enough_for_the_whole_path(secured: Secured, clip: Path, tmp_path: Path) -> None:
    await _migrated(secured)
    started(secured, PURGE_AFTER="0.5", TOMBSTONE_AFTER="0.5")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no movie" * 1000)
    ready, bad = await upload_clip(secured.world, clip), await upload_clip(secured.world, broken)
    lost = upload()
    await secured.world.send(lost)
    database = Database(secured.world.environment["DATABASE_URL"], "normalizer")
    sites = Database(secured.world.environment["DATABASE_URL"], "syncer")
    try:
        await _status(database, ready, "ready")
        await _status(database, bad, "broken")
        await _status(database, lost.preview_file_id, "missing")
        key = object_key(ObjectKind.LOW_DEFINITION, ready)
        await eventually(lambda: sites.fetch("SELECT 1 FROM held WHERE key = :key", key=key))

        ran = await asyncio.gather(
            *(
                secured.as_(who).command(service, *command)
                for who, service, *command in (
                    ("operator", "rushes-normalizer", "renormalize", "--preview-file-id", str(ready), "--wait"),
                    ("operator", "rushes-normalizer", "dead-letters", "list"),
                    ("reader", "rushes-normalizer", "attention"),
                    ("control", "rushes-normalizer", "absences", "--accept"),
                    ("syncer", "rushes-syncer", "full"),
                )
            )
        )
        assert [code for code, _, _ in ran] == [0] * len(ran), ran
        assert secured.sql_as("scaler", "SELECT count(*) >= 0 FROM normalizer.task") == "t"

        await secured.world.send(PreviewDeleted(preview_file_id=ready, deleted_at=lost.uploaded_at))
        await eventually(
            lambda: database.fetch("SELECT 1 FROM preview_file WHERE id = :id AND purged_at IS NOT NULL", id=ready)
        )
    finally:
        await database.close()
        await sites.close()
    secured.world.stop_processes()
    assert not _denials(secured)


async def _followed(secured: Secured) -> None:
    """Zou is set right, and a picture of its own becomes known."""
    database = Database(secured.world.environment["DATABASE_URL"], "kitsu")
    try:
        async with zou_stand_in() as api, zou_database(secured.world, secured.stack) as zou:
            zous = {"ZOU_URL": api.address, "ZOU_TOKEN": "t", "ZOU_DATABASE_URL": zou.url, "FOLLOW_INTERVAL": "0.2"}
            started(secured, "kitsu-follow", **zous)
            await eventually(lambda: database.fetch("SELECT 1 FROM zou_events_read"))
            await zou.tell("preview-file:add-file", await zou.add(extension="png"))
            await eventually(lambda: database.fetch("SELECT 1 FROM registered"))
            await eventually(lambda: database.fetch("SELECT 1 FROM announced WHERE settled_at IS NOT NULL"))
    finally:
        await database.close()


async def test_the_least_grants_are_enough_for_what_zou_dispatches(secured: Secured, clip: Path) -> None:
    await _migrated(secured)
    port = free_port()
    started(secured, "control", "worker")
    started(secured, "kitsu", NOMAD_PORT=str(port), NOMAD_LINGER="0")
    preview = uuid4()
    async with (
        aiohttp.ClientSession(timeout=ZOU_WAITS) as client,
        open_store(StoreSettings(**nest_variables(secured.settings("publisher"))["store"])) as store,
    ):
        bridge = Bridge(secured.world, client, f"http://127.0.0.1:{port}")
        await store.upload(MOVIES, source_key(preview), clip, content_type="video/mp4", condition=Unconditional())
        await logged(secured.world, "kitsu", "nomad_served")
        job = await bridge.dispatched(preview)
        await eventually(lambda: bridge.state(job), lambda state: state != "Running")
        assert await bridge.state(job) == "Complete"
        started(secured, "kitsu-builder")
        playlist = await bridge.ordered("zou-playlist", playlist_payload(uuid4(), [preview, preview]))
        tile = await bridge.ordered("rushes-tile", tile_payload(preview))
        assert [(await bridge.ended(each))[0] for each in (playlist, tile)] == ["Complete", "Complete"]
        await _followed(secured)
    secured.world.stop_processes()
    assert not _denials(secured)


NOT_THEIR_WORK = [
    ("control", "DELETE FROM normalizer.preview_file"),
    ("control", "UPDATE normalizer.instance SET name = 'other'"),
    ("control", "UPDATE normalizer.alembic_version SET version_num = '0'"),
    ("control", "DROP TABLE normalizer.task"),
    ("control", "CREATE TABLE normalizer.own (id int)"),
    ("control", "CREATE SCHEMA own"),
    ("control", "SELECT FROM syncer.held"),
    ("worker", "DELETE FROM normalizer.preview_file"),
    ("worker", "DELETE FROM normalizer.task"),
    ("worker", "SELECT FROM normalizer.outbox"),
    ("worker", "SELECT FROM normalizer.inbox"),
    ("worker", "SELECT FROM normalizer.role_lease"),
    ("worker", "TRUNCATE normalizer.preview_file"),
    ("syncer", "SELECT FROM normalizer.preview_file"),
    ("syncer", "DELETE FROM syncer.site_preview"),
    ("kitsu", "SELECT FROM normalizer.preview_file"),
    ("kitsu", "UPDATE kitsu.instance SET name = 'other'"),
    ("kitsu", "DROP TABLE kitsu.dispatch"),
    ("reader", "UPDATE normalizer.task SET state = 'done'"),
    ("reader", "DELETE FROM normalizer.request"),
    ("scaler", "SELECT FROM normalizer.preview_file"),
    ("scaler", "UPDATE normalizer.task SET state = 'done'"),
    ("migration", "CREATE SCHEMA own"),
]


async def test_a_user_of_the_database_is_refused_what_is_not_its_work(secured: Secured) -> None:
    migration = secured.as_("migration")
    await migrate_all(migration.normalizer_settings().read_database_url(), migration.environment["INSTANCE"])
    # A new version's tables are open to services at once, whether the grants are brought up to date or not.
    secured.sql_as("control", "SELECT FROM normalizer.task")
    secured.grant_in_database()
    for who, statement in NOT_THEIR_WORK:
        with pytest.raises(PermissionError, match=r"permission denied|must be owner"):
            secured.sql_as(who, statement)
    secured.sql(f"CREATE ROLE {secured.user('stranger')} LOGIN PASSWORD 'known'")
    address = make_url(secured.world.environment["DATABASE_URL"]).set(username=secured.user("stranger"))
    with pytest.raises(PermissionError, match="permission denied for database"):
        secured.psql("--command", "SELECT 1", url=address.set(password="known"))


async def test_work_waits_for_a_grant_that_is_not_there_and_says_which(secured: Secured, clip: Path) -> None:
    await secured.prepare()
    secured.grant_in_database()
    secured.sql("REVOKE INSERT ON normalizer.outbox FROM rushes_worker")
    started(secured, "control", "worker")
    preview = await upload_clip(secured.world, clip)
    await logged(secured.world, "worker", "result_waits_for_database")
    assert all("permission denied for table outbox" in line for line in _denials(secured))
    secured.grant_in_database()
    database = Database(secured.world.environment["DATABASE_URL"], "normalizer")
    try:
        await _status(database, preview, "ready")
        assert {row.outcome for row in await database.fetch("SELECT outcome FROM attempt")} == {"done"}
    finally:
        await database.close()


async def test_a_missing_right_on_the_bus_is_named_with_the_user_and_the_topics(secured: Secured) -> None:
    await secured.prepare()
    secured.grant_in_database()
    wrong = {name: value for name, value in secured.settings("reader").items() if name.startswith("KAFKA__SASL")}
    started(secured, "control", **wrong)
    await logged(secured.world, "control", "kafka_away")
    topics = [secured.world.prefix + name for name in ("preview-uploaded", "renormalize-requested")]
    (line, *_) = [line for line in log_of(secured, "control") if '"kafka_away"' in line]
    assert all(each in line for each in (*topics, "rushes-reader", "Describe and Read"))
    await logged(secured.world, "control", "relay_lost_producer")
    (line, *_) = [line for line in log_of(secured, "control") if '"relay_lost_producer"' in line]
    assert "TransactionalIdAuthorization" in line


async def test_a_user_of_the_store_is_refused_what_is_not_its_work(secured: Secured, tmp_path: Path) -> None:
    async with secured.world.store():
        pass
    thing = tmp_path / "thing"
    thing.write_bytes(b"thing")

    def opened(who: str) -> AbstractAsyncContextManager[Store]:
        if who == "site":
            return open_store(StoreSettings(**nest_variables(secured.settings("syncer"))["sites"]["lyon"]))
        return open_store(StoreSettings(**nest_variables(secured.settings(who))["store"]))

    async def put(who: str, bucket: str, key: str) -> None:
        async with opened(who) as store:
            await store.upload(bucket, key, thing, content_type="text/plain", condition=Unconditional())

    async def delete(who: str, bucket: str, key: str) -> None:
        async with opened(who) as store:
            await store.delete(bucket, key, condition=Unconditional())

    async def download(who: str, bucket: str, key: str) -> None:
        async with opened(who) as store:
            await store.download(bucket, key, tmp_path / "got")

    preview = uuid4()
    await put("publisher", MOVIES, source_key(preview))
    await put("worker", PICTURES, object_key(ObjectKind.TILE, preview))
    await delete("worker", PICTURES, object_key(ObjectKind.TILE, preview))
    await download("syncer", MOVIES, source_key(preview))
    await put("kitsu-builder", MOVIES, f"playlists-{preview}")
    for refused in (
        put("publisher", MOVIES, object_key(ObjectKind.HIGH_DEFINITION, preview)),
        download("publisher", MOVIES, source_key(preview)),
        put("worker", MOVIES, source_key(preview)),
        delete("worker", MOVIES, source_key(preview)),
        *(delete("worker", bucket, "sentinel-rushes") for bucket in BUCKETS),
        put("syncer", MOVIES, object_key(ObjectKind.HIGH_DEFINITION, preview)),
        delete("syncer", MOVIES, source_key(preview)),
        put("migration", MOVIES, source_key(preview)),
        put("kitsu-builder", MOVIES, object_key(ObjectKind.HIGH_DEFINITION, preview)),
        put("kitsu-builder", MOVIES, source_key(preview)),
        delete("kitsu-builder", PICTURES, object_key(ObjectKind.TILE, preview)),
    ):
        with pytest.raises(StoreDeniedError):
            await refused
