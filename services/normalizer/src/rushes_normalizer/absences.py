"""A flood of absences: more sources gone at once than studios delete, so nothing follows from it until somebody looks.

A store that lost objects, or was restored without them, answers "absent" in good faith. Each source that was seen
absent leaves a mark, from its first look on; those of previews that are `missing` already leave none. While the marks
of a window are too many, and too large a share of the sources that were looked at, no absence makes a preview
`missing`: its job waits, and looks again. A mark goes when its source is found, so a flood ends by itself once the
objects are back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from rushes_runtime import ledger
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True)
class FloodLimits:
    """What is still no flood: so many absences, or this share (0 to 1) of the sources looked at, within `window` s."""

    number: int
    share: float
    window: float


@dataclass(frozen=True)
class Looks:
    """What the looks of a window came to.

    Attributes:
        absent: previews whose source was seen absent, and those that are held, however long.
        held: those among them whose job waits for the end of the flood.
        present: jobs that ended after they had read their source.
        accepted_until: until when an operator accepts absences, if that is to come.
    """

    absent: int
    held: int
    present: int
    accepted_until: datetime | None


def is_flood(looks: Looks, limits: FloodLimits) -> bool:
    """Whether there are more absences than anybody means."""
    if looks.accepted_until is not None:
        return False
    return looks.absent > limits.number and looks.absent > limits.share * (looks.absent + looks.present)


# A renormalization of what is `missing` proves nothing new. The caller holds the locks of these previews, and marks are
# written under them only.
_MARK: Final = text("""
    INSERT INTO absent_source (preview_file_id)
    SELECT id FROM preview_file WHERE id = ANY(:ids) AND status <> 'missing' ORDER BY id
    ON CONFLICT (preview_file_id) DO UPDATE SET seen_at = now(), held = false
    RETURNING preview_file_id""")
_HOLD: Final = text("UPDATE absent_source SET held = true WHERE preview_file_id = ANY(:ids)")
_FORGET: Final = text("DELETE FROM absent_source WHERE preview_file_id = ANY(:ids)")
_LOOKS: Final = text("""
    SELECT (SELECT count(*) FROM absent_source
            WHERE held OR seen_at > now() - make_interval(secs => :window)) AS absent,
        (SELECT count(*) FROM absent_source WHERE held) AS held,
        (SELECT count(*) FROM task
         WHERE ended_at > now() - make_interval(secs => :window) AND lane <> 'purge'
           AND (state = 'done' OR failure_code <> 'source_missing')) AS present,
        (SELECT until FROM absences_accepted WHERE until > now()) AS accepted_until""")
_ACCEPT: Final = text("""
    INSERT INTO absences_accepted (until) VALUES (now() + make_interval(secs => :seconds))
    ON CONFLICT (one) DO UPDATE SET until = excluded.until""")
_WAKE: Final = text("""
    UPDATE task SET available_at = now()
    WHERE id IN (SELECT task.id FROM task JOIN absent_source ON task.subject = absent_source.preview_file_id::text
                 WHERE held AND state = 'queued' AND available_at > now() FOR UPDATE OF task SKIP LOCKED)""")
# What is held stays for as long as its job waits.
_PRUNE: Final = text(f"""
    DELETE FROM absent_source WHERE preview_file_id IN (
        SELECT preview_file_id FROM absent_source AS old
        WHERE seen_at < now() - make_interval(secs => :window)
          AND {ledger.without_task("old.preview_file_id::text")}
        LIMIT 1000 FOR UPDATE SKIP LOCKED)""")  # noqa: S608 - but for the ledger's words all of it is here
_COUNT_HELD: Final = text("SELECT count(*) FROM absent_source WHERE held")


async def seen(connection: AsyncConnection, preview_file_ids: Sequence[UUID]) -> None:
    """Mark the sources of previews as absent at a first look, in the transaction that sends their jobs back.

    The caller holds the previews' locks.
    """
    await connection.execute(_MARK, {"ids": list(preview_file_ids)})


async def confirmed(
    connection: AsyncConnection, preview_file_ids: Sequence[UUID], limits: FloodLimits
) -> frozenset[UUID]:
    """Which of the previews whose absence was confirmed must not become `missing` yet.

    For the transaction that would end their jobs, one or many, before it does so; the caller holds the previews' locks.
    What is in the answer goes back to the queue, its try and look not counted; all others may end. The answer is empty
    unless there is a flood, and never holds a preview that is `missing` already.
    """
    marked = [row.preview_file_id for row in await connection.execute(_MARK, {"ids": list(preview_file_ids)})]
    if not marked:
        return frozenset()
    looks = await look_back(connection, limits)
    if is_flood(looks, limits):
        await connection.execute(_HOLD, {"ids": marked})
        return frozenset(marked)
    if looks.accepted_until is not None:  # what an operator has accepted counts towards no later flood
        await connection.execute(_FORGET, {"ids": marked})
    return frozenset()


async def found(connection: AsyncConnection, preview_file_id: UUID) -> None:
    """Take the mark off: the source was read."""
    await connection.execute(_FORGET, {"ids": [preview_file_id]})


async def look_back(connection: AsyncConnection, limits: FloodLimits) -> Looks:
    """What the looks of the window came to."""
    row = (await connection.execute(_LOOKS, {"window": limits.window})).one()
    return Looks(row.absent, row.held, row.present, row.accepted_until)


async def accept(connection: AsyncConnection, seconds: float) -> None:
    """Let absences count again for a while, from now, and let the jobs that wait look at once. May be said again."""
    await connection.execute(_ACCEPT, {"seconds": seconds})
    await connection.execute(_WAKE)


async def tidy(connection: AsyncConnection, limits: FloodLimits) -> None:
    """Forget old marks."""
    await connection.execute(_PRUNE, {"window": limits.window})


async def held(connection: AsyncConnection) -> int:
    """How many previews a flood keeps from becoming `missing`."""
    number: int = (await connection.execute(_COUNT_HELD)).scalar_one()
    return number
