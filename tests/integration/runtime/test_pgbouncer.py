"""Behind PgBouncer: transaction and session mode work as they are, statement mode is refused by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from rushes_runtime.database import Database, is_away
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.pgbouncer import find_pgbouncer, pgbouncer_before
from tests.world import World, eventually, put_source, upload

pytestmark = [pytest.mark.extended, pytest.mark.skipif(find_pgbouncer() is None, reason="PgBouncer is not installed")]


@asynccontextmanager
async def _opened(url: str, schema: str = "normalizer", *, lease: float = 60) -> AsyncIterator[Database]:
    database = Database(url, schema, lease=lease)
    try:
        yield database
    finally:
        await database.close()


@pytest.mark.parametrize(("mode", "servers"), [("transaction", 2), ("session", 60)])
async def test_both_services_work_behind_a_pooler(bare_world: World, clip: Path, mode: str, servers: int) -> None:
    with pgbouncer_before(bare_world.environment["DATABASE_URL"], mode=mode, servers=servers) as through:
        pooled = bare_world.with_settings(DATABASE_URL=through)
        # Both share the pool's connections, each with a schema of its own.
        for service in "rushes-normalizer", "rushes-syncer":
            code, _, errors = await pooled.command(service, "migrate", "--store")
            assert code == 0, errors
        try:
            pooled.process("rushes-normalizer", "run", log="normalizer")
            pooled.process("rushes-syncer", "run", log="syncer")
            event = upload()
            async with pooled.store() as store:
                await put_source(store, event.preview_file_id, clip)
            await pooled.send(event)
            async with pooled.syncer_database() as database:
                held = "SELECT 1 FROM held WHERE preview_file_id = :id AND key LIKE 'lowdef-%'"
                await eventually(partial(database.fetch, held, id=event.preview_file_id))
            assert (await pooled.statuses(event.preview_file_id))[-1].status == "ready"
        finally:
            pooled.stop_processes()


async def test_a_statement_mode_is_refused_by_name(world: World) -> None:
    with pgbouncer_before(world.environment["DATABASE_URL"], mode="statement", servers=2) as through:
        for service, command in ("rushes-normalizer", "migrate"), ("rushes-syncer", "run"):
            code, _, errors = await world.command(service, command, DATABASE_URL=through)
            assert (code, "PgBouncer in statement mode" in errors, "pool_mode" in errors) == (2, True, True), errors
            assert "Traceback" not in errors


async def test_what_a_transaction_sets_stays_with_it(world: World) -> None:
    with pgbouncer_before(world.environment["DATABASE_URL"], mode="transaction", servers=1) as through:
        async with _opened(through) as ours, _opened(through, "syncer") as theirs:
            setting = "SELECT current_setting('search_path') || ' ' || current_setting('jit') AS set"
            for database in ours, theirs, ours:
                assert [row.set for row in await database.fetch(setting)] == [f"{database.schema} off"]
            # What comes by the one connection from elsewhere, and begins no transaction of ours.
            async with ours.begin() as connection:
                await connection.exec_driver_sql("COMMIT AND CHAIN")
                left = await connection.exec_driver_sql("SELECT current_setting('search_path'), current_setting('jit')")
                assert tuple(left.one()) == ('"$user", public', "on")


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_a_transaction_that_pauses_behind_a_pooler_is_ended_and_the_next_one_works(
    world: World, mode: str
) -> None:
    with pgbouncer_before(world.environment["DATABASE_URL"], mode=mode, servers=5) as through:
        async with _opened(world.environment["DATABASE_URL"]) as watching, _opened(through, lease=0.2) as database:

            async def pause() -> None:
                async with database.begin() as connection:
                    (pid,) = (await connection.execute(text("SELECT pg_backend_pid()"))).one()
                    works = "SELECT 1 FROM pg_stat_activity WHERE pid = :pid"
                    await eventually(partial(watching.fetch, works, pid=pid), lambda rows: not rows)
                    await connection.execute(text("SELECT 1"))

            with pytest.raises(DBAPIError) as failed:
                await pause()
            assert is_away(failed.value)
            assert [tuple(row) for row in await database.fetch("SELECT 1")] == [(1,)]


async def test_connections_that_end_behind_a_pooler_are_replaced(world: World) -> None:
    with pgbouncer_before(world.environment["DATABASE_URL"], mode="transaction", servers=2) as through:
        async with _opened(world.environment["DATABASE_URL"]) as direct, _opened(through) as database:
            assert len(await database.fetch("SELECT 1")) == 1
            ended = await direct.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert ended

            async def answers() -> bool:
                try:
                    return len(await database.fetch("SELECT 1")) == 1
                except Exception as error:
                    if not is_away(error):
                        raise
                    return False

            await eventually(answers)


async def test_a_direct_connection_keeps_its_prepared_statements(world: World) -> None:
    async with _opened(world.environment["DATABASE_URL"]) as database, database.begin() as connection:
        for _ in range(2):
            await connection.execute(text("SELECT 1 AS kept"))
        kept = await connection.execute(text("SELECT statement FROM pg_prepared_statements"))
        assert "SELECT 1 AS kept" in list(kept.scalars())
