"""The rows of previews in Zou's database, which is only read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from asyncpg.exceptions import PostgresError
from sqlalchemy import URL, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

# By id, so that a pass that was broken off goes on where it was, and a short statement a page holds nothing back.
_ROWS: Final = """
    SELECT p.id, p.name, p.original_name, p.extension, p.revision, p.position, p.file_size, p.status,
        p.validation_status, p.width, p.height, p.duration, p.task_id, p.person_id, p.created_at, t.project_id
    FROM preview_file AS p LEFT JOIN task AS t ON t.id = p.task_id"""
_PAGE: Final = text(f"{_ROWS} WHERE CAST(:after AS uuid) IS NULL OR p.id > :after ORDER BY p.id LIMIT :limit")
_NAMED: Final = text(f"{_ROWS} WHERE p.id = ANY(:ids) ORDER BY p.id")


_TOLD: Final = text("""
    SELECT id, name, CAST(data->>'preview_file_id' AS uuid) AS preview, created_at FROM api_event
    WHERE (created_at, id) > (:after, CAST(:event AS uuid))
      AND name IN ('preview-file:add-file', 'preview-file:update', 'preview-file:delete')
      AND data->>'preview_file_id' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    ORDER BY created_at, id LIMIT :limit""")


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


def name_of(url: URL) -> str:
    """A name for one of Zou's databases, by which it is known how far it was read."""
    return f"{url.host}:{url.port}/{url.database}"


class ZouDatabase:
    """Zou's database, which PostgreSQL itself holds to reading. Its connections are kept, and made when needed."""

    def __init__(self, url: URL) -> None:
        self.name = name_of(url)
        self._engine = create_async_engine(
            url,
            isolation_level="AUTOCOMMIT",
            pool_size=2,
            pool_pre_ping=True,
            connect_args={"timeout": 10, "server_settings": {"default_transaction_read_only": "on"}},
        )

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection, for as long as the block runs.

        Raises:
            ZouDatabaseError: it does not answer.
        """
        try:
            connection = await self._engine.connect()
        except (DBAPIError, PostgresError, OSError, TimeoutError) as error:
            raise ZouDatabaseError(error) from None
        try:
            yield connection
        finally:
            await connection.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


@asynccontextmanager
async def open_zou(url: URL) -> AsyncIterator[AsyncConnection]:
    """A connection to Zou's database, for as long as the block runs.

    Raises:
        ZouDatabaseError: it does not answer.
    """
    database = ZouDatabase(url)
    try:
        async with database.connected() as connection:
            yield connection
    finally:
        await database.close()


async def page_after(connection: AsyncConnection, after: UUID | None, limit: int) -> Sequence[ZouRow]:
    """The next rows in the order of their ids; none at the end.

    Raises:
        ZouDatabaseError: it is away, not Zou's, or of a Zou that is too old.
    """
    return await _read(connection, _PAGE, after=after, limit=limit)


async def rows_of(connection: AsyncConnection, preview_file_ids: Sequence[UUID]) -> Mapping[UUID, ZouRow]:
    """The rows of these previews, without those that Zou doesn't have.

    Raises:
        ZouDatabaseError: as `page_after`.
    """
    return {row.id: row for row in await _read(connection, _NAMED, ids=list(preview_file_ids))}


@dataclass(frozen=True)
class Told:
    """An event of Zou's log that is about a preview."""

    id: UUID
    name: str
    preview_file_id: UUID
    created_at: datetime


async def events_after(connection: AsyncConnection, moment: datetime, event: UUID, limit: int) -> Sequence[Told]:
    """Zou's events of previews that came, changed or went, behind one of them, oldest first.

    Raises:
        ZouDatabaseError: as `page_after`.
    """
    try:
        naive = moment.astimezone(UTC).replace(tzinfo=None)
        found = await connection.execute(_TOLD, {"after": naive, "event": event, "limit": limit})
    except (DBAPIError, PostgresError, OSError, TimeoutError) as error:
        raise ZouDatabaseError(error) from None
    return [Told(row.id, row.name, row.preview, _in_utc(row.created_at)) for row in found]


async def _read(connection: AsyncConnection, statement: TextClause, **values: object) -> Sequence[ZouRow]:
    try:
        found = await connection.execute(statement, values)
    except (DBAPIError, PostgresError, OSError, TimeoutError) as error:
        raise ZouDatabaseError(error) from None
    return [ZouRow(**{**row, "created_at": _in_utc(row["created_at"])}) for row in found.mappings()]


def _in_utc(moment: datetime | None) -> datetime:
    """Zou's columns are naive and in UTC."""
    return moment.replace(tzinfo=UTC) if moment else datetime.fromtimestamp(0, UTC)
