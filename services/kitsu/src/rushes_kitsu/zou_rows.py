"""The rows of previews in Zou's database, which is only read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from asyncpg.exceptions import PostgresError
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

# By id, so that a pass that was broken off goes on where it was, and a short statement a page holds nothing back.
_PAGE: Final = text("""
    SELECT p.id, p.name, p.original_name, p.extension, p.revision, p.position, p.file_size, p.status,
        p.validation_status, p.width, p.height, p.duration, p.task_id, p.person_id, p.created_at, t.project_id
    FROM preview_file AS p LEFT JOIN task AS t ON t.id = p.task_id
    WHERE CAST(:after AS uuid) IS NULL OR p.id > :after
    ORDER BY p.id LIMIT :limit""")


@dataclass(frozen=True)
class ZouRow:
    """A preview as Zou has it; times are UTC, statuses Zou's own."""

    id: UUID
    name: str | None
    original_name: str | None
    extension: str | None
    revision: int | None
    position: int | None
    file_size: int | None
    status: str
    validation_status: str | None
    width: int | None
    height: int | None
    duration: float | None
    task_id: UUID | None
    person_id: UUID | None
    created_at: datetime
    project_id: UUID | None


class ZouDatabaseError(ValueError):
    """Zou's database does not answer as one of Zou's; the text says what it said."""

    def __init__(self, error: Exception) -> None:
        said = str(error.orig if isinstance(error, DBAPIError) else error).partition("\n")[0]
        super().__init__(f"Zou's database (ZOU_DATABASE_URL): {said}")


@asynccontextmanager
async def open_zou(url: URL) -> AsyncIterator[AsyncConnection]:
    """A connection to Zou's database that PostgreSQL itself holds to reading.

    Raises:
        ZouDatabaseError: it does not answer.
    """
    engine = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": 10, "server_settings": {"default_transaction_read_only": "on"}},
    )
    try:
        try:
            connection = await engine.connect()
        except (DBAPIError, PostgresError, OSError, TimeoutError) as error:
            raise ZouDatabaseError(error) from None
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        await engine.dispose()


async def page_after(connection: AsyncConnection, after: UUID | None, limit: int) -> Sequence[ZouRow]:
    """The next rows in the order of their ids; none at the end.

    Raises:
        ZouDatabaseError: it is away, not Zou's, or of a Zou that is too old.
    """
    try:
        found = await connection.execute(_PAGE, {"after": after, "limit": limit})
    except DBAPIError as error:
        raise ZouDatabaseError(error) from None
    return [ZouRow(**{**row, "created_at": _in_utc(row["created_at"])}) for row in found.mappings()]


def _in_utc(moment: datetime | None) -> datetime:
    """Zou's columns are naive and in UTC."""
    return moment.replace(tzinfo=UTC) if moment else datetime.fromtimestamp(0, UTC)
