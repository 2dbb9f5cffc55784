"""PostgreSQL: one pool per process, one schema per service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import structlog
from asyncpg import PostgresError
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from rushes_runtime.settings import DatabaseClientSettings, RuntimeSettings

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

# SQLSTATE classes that say "not now" rather than "not this": connection, rolled back, resources,
# operator intervention, system error, and a standby that cannot write.
_AWAY_CLASSES: Final = ("08", "40", "53", "57", "58")
_WAIT: Final = 1.0  # seconds between looks of an attempt
_READ_ONLY: Final = "25006"


class Database:
    """A service's connections. Tables are found by the search path, so SQL names no schema."""

    def __init__(self, url: str, schema: str, *, pool_size: int = 10, lease: float = 60) -> None:
        """
        Args:
            lease: seconds after which a process that stopped in mid-transaction loses its locks.
        """
        self.schema = schema
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            pool_pre_ping=True,
            connect_args={
                "timeout": 10,
                "server_settings": {
                    "search_path": schema,
                    "application_name": f"rushes-{schema}",
                    # A plan that was made for an empty table would read it from end to end once it is full.
                    "plan_cache_mode": "force_custom_plan",
                    "jit": "off",
                    # A paused or vanished process would keep its rows locked for as long as it is away.
                    "idle_in_transaction_session_timeout": str(round(lease * 1000)),
                },
            },
        )

    @classmethod
    def of(cls, settings: DatabaseClientSettings, schema: str) -> Database:
        """The database that the settings name."""
        url = settings.database_url.get_secret_value()
        lease = settings.lease if isinstance(settings, RuntimeSettings) else 60.0
        return cls(url, schema, pool_size=settings.database_pool_size, lease=lease)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back on an error."""
        async with self.engine.begin() as connection:
            yield connection

    async def fetch(self, statement: str, **parameters: Any) -> list[Any]:
        """The rows of one statement in a transaction of its own."""
        async with self.begin() as connection:
            return list((await connection.execute(text(statement), parameters)).all())

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def is_away(error: BaseException) -> bool:
    """Whether an error means that the database cannot answer now, rather than that it refused the data."""
    if isinstance(error, DBAPIError):
        state: str | None = getattr(error.orig, "sqlstate", None)
        if error.connection_invalidated:
            return True
        if state is None:  # the driver's own: a closed connection, or a value that it cannot encode
            return not isinstance(error, DataError)
        return state.startswith(_AWAY_CLASSES) or state == _READ_ONLY
    if isinstance(error, PostgresError):  # while connecting, before SQLAlchemy wraps
        return True
    return isinstance(error, PoolTimeoutError | OSError | asyncio.TimeoutError)


async def answer_of(look: Callable[[], Awaitable[Answer]], waits: Callable[[], None]) -> Answer:
    """The answer of a look into the database, waiting for as long as it is away.

    Args:
        waits: called before each wait.
    """
    while True:
        try:
            return await look()
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("attempt_waits_for_database", error=repr(error)[:500])
            waits()
            await asyncio.sleep(_WAIT)


def is_refused_data(error: BaseException) -> bool:
    """Whether the database refused a value that it was given, rather than a statement of ours that is wrong."""
    if not isinstance(error, DBAPIError):
        return False
    state: str | None = getattr(error.orig, "sqlstate", None)
    # 22: data exceptions; 54: program limits. asyncpg refuses some values itself, before the server sees them.
    return isinstance(error, DataError) or (state is not None and state.startswith(("22", "54")))
