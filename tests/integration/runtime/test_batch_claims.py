"""Batches of the ledger with a long queue."""

from __future__ import annotations

from rushes_runtime import batches
from sqlalchemy import text

from tests.world import World

_FILL = text("""
    INSERT INTO task (subject, lane, rank, payload, batched)
    SELECT number::text, 'bulk', now(), '{}', true FROM generate_series(1, 5000) AS number""")


async def test_batches_are_claimed_in_turn_without_reading_a_queue_that_was_just_filled(world: World) -> None:
    values = {"worker": "w", "lease": 9.0, "limit": 200}
    async with world.normalizer_database() as database:
        async with database.begin() as connection:
            await connection.execute(_FILL)
        async with database.begin() as connection:
            await connection.execute(batches.BY_INDEX)
            explained = await connection.execute(text(f"EXPLAIN {batches.CLAIM_BATCH}"), values)
            plan = "\n".join(row[0] for row in explained)
        claimed = []
        for _ in range(2):
            async with database.begin() as connection:
                claimed += await batches.claim(connection, "w", 9.0, 200)
    assert "Index Scan using task_batches" in plan
    assert "Sort" not in plan
    assert len({task.id for task in claimed}) == len({task.fence for task in claimed}) == 400
