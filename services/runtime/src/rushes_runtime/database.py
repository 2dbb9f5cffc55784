"""PostgreSQL: one pool per process, one schema per service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import structlog
from asyncpg import InternalClientError, PostgresError
from sqlalchemy import Connection, Dialect, event, make_url, text
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from rushes_runtime import metrics
from rushes_runtime.failures import PoolerModeError
from rushes_runtime.settings import DatabaseClientSettings, RuntimeSettings

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

# SQLSTATE classes that say "not now" rather than "not this": connection, rolled back, resources,
# operator intervention, system error.
_AWAY_CLASSES: Final = ("08", "40", "53", "57", "58")
# A standby that cannot write; what only somebody hears who connects: a password or a database that is not there now (it
# is being replaced by a backup, say), or that lets nobody in; and a grant that is not there (yet): 42501. Work waits
# for the administrator, where a failure would make previews `broken`.
_AWAY_STATES: Final = frozenset({"25006", "28000", "28P01", "3D000", "42501", "55000"})
_WAIT: Final = 1.0  # seconds between looks of an attempt
_COMMITTED: Final = "rushes.committed"
# PgBouncer's words, in statement mode, to a BEGIN.
_NO_TRANSACTIONS: Final = "transaction blocks not allowed in statement pooling mode"


class Database:
    """A service's connections. Tables are found by the search path, so SQL names no schema.

    The first use finds out whether a pooler such as PgBouncer stands between. Then a server connection is ours for one
    transaction only: what a session needs is set at the begin of each, and no statement stays prepared.
    """

    def __init__(self, url: str | Callable[[], str], schema: str, *, pool_size: int = 10, lease: float = 60) -> None:
        """
        Args:
            url: or what reads it, called for each new connection.
            lease: seconds after which a process that stopped in mid-transaction loses its locks.
        """
        self.schema = schema
        self._read_url = url if callable(url) else lambda: url
        self._pool_size = pool_size
        self._session = {
            "search_path": schema,
            # A plan that was made for an empty table would read it from end to end once it is full.
            "plan_cache_mode": "force_custom_plan",
            "jit": "off",
            # A paused or vanished process would keep its rows locked for as long as it is away.
            "idle_in_transaction_session_timeout": str(round(lease * 1000)),
        }
        self._engine: AsyncEngine | None = None
        self._choosing = asyncio.Lock()

    @classmethod
    def of(cls, settings: DatabaseClientSettings, schema: str) -> Database:
        """The database that the settings name."""
        lease = settings.lease if isinstance(settings, RuntimeSettings) else 60.0
        return cls(settings.read_database_url, schema, pool_size=settings.database_pool_size, lease=lease)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back on an error.

        Raises:
            PoolerModeError: a pooler between refuses transactions.
        """
        try:
            engine = await self.engine()
            async with engine.begin() as connection:
                committed: list[Callable[[], None]] = []
                connection.info[_COMMITTED] = committed
                yield connection
        except Exception as error:
            if is_away(error):
                metrics.DATABASE_AWAY.inc()
            raise
        metrics.DATABASE_ANSWERED.set_to_current_time()
        for each in committed:
            each()

    async def fetch(self, statement: str, **parameters: Any) -> list[Any]:
        """The rows of one statement in a transaction of its own."""
        async with self.begin() as connection:
            return list((await connection.execute(text(statement), parameters)).all())

    async def close(self) -> None:
        """Close all connections."""
        if self._engine is not None:
            await self._engine.dispose()

    async def engine(self) -> AsyncEngine:
        """The engine for a server, or for a pooler: the first connection, which suits both, shows which one it is.

        Raises:
            PoolerModeError: a pooler between refuses transactions.
        """
        if self._engine is not None:
            return self._engine
        async with self._choosing:
            if self._engine is None:
                careful = self._pooled_engine()
                try:
                    pooled = await _is_pooled(careful)
                except BaseException:
                    await careful.dispose()
                    raise
                if pooled:
                    log.info("database_behind_pooler", schema=self.schema)
                    self._engine = careful
                else:
                    await careful.dispose()
                    self._engine = self._make_engine({"server_settings": self._session})
            return self._engine

    def _pooled_engine(self) -> AsyncEngine:
        # An unnamed statement is parsed again when it is executed: it needs no session.
        unnamed = {"statement_cache_size": 0, "prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
        engine = self._make_engine(unnamed)
        places = ", ".join(f"set_config(${2 * n + 1}, ${2 * n + 2}, true)" for n in range(len(self._session)))
        values = tuple(value for setting in self._session.items() for value in setting)

        def settle(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT {places}", values)

        event.listen(engine.sync_engine, "begin", settle)
        return engine

    def _make_engine(self, options: dict[str, Any]) -> AsyncEngine:
        named = {"application_name": f"rushes-{self.schema}", **options.get("server_settings", {})}
        engine = create_async_engine(
            self._read_url(),
            pool_size=self._pool_size,
            max_overflow=0,
            pool_timeout=30,
            pool_pre_ping=True,
            connect_args={"timeout": 10, **options, "server_settings": named},
        )

        def connect_as_now(dialect: Dialect, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
            _, current = dialect.create_connect_args(make_url(self._read_url()))
            parameters.update(current)

        event.listen(engine.sync_engine, "do_connect", connect_as_now)
        return engine


def after_commit(connection: AsyncConnection, call: Callable[[], None]) -> None:
    """Call once the transaction that `Database.begin` began is committed: what is counted has happened, and once."""
    connection.info[_COMMITTED].append(call)


async def _is_pooled(engine: AsyncEngine) -> bool:
    """Whether what answers is no PostgreSQL server itself.

    At a connection's start a server tells the number of its process; a pooler tells one that it made up.

    Raises:
        PoolerModeError: it refuses transactions.
    """
    try:
        async with engine.begin() as connection:
            raw = await connection.get_raw_connection()
            told = raw.driver_connection.get_server_pid()  # type: ignore[union-attr]  # asyncpg ships no types
            (works,) = (await connection.execute(text("SELECT pg_backend_pid()"))).one()
    except DBAPIError as error:
        if _NO_TRANSACTIONS not in str(error.orig):
            raise
        msg = (
            "DATABASE_URL leads to a PgBouncer in statement mode, which refuses transactions: set pool_mode to "
            "transaction or session for this database, or connect to PostgreSQL directly"
        )
        raise PoolerModeError(msg) from None
    return bool(told != works)


def is_away(error: BaseException) -> bool:
    """Whether an error means that the database cannot answer now, rather than that it refused the data."""
    if isinstance(error, DBAPIError):
        state: str | None = getattr(error.orig, "sqlstate", None)
        if error.connection_invalidated:
            return True
        if state is None:  # the driver's own: a closed connection, or a value that it cannot encode
            return not isinstance(error, DataError)
        return state.startswith(_AWAY_CLASSES) or state in _AWAY_STATES
    # While connecting, before SQLAlchemy wraps; a connection that ends just then confuses the client.
    if isinstance(error, PostgresError | InternalClientError):
        return True
    return isinstance(error, PoolTimeoutError | OSError | asyncio.TimeoutError)


async def answer_of(
    ask: Callable[[], Awaitable[Answer]],
    waits: Callable[[], None] | None = None,
    *,
    event: str = "attempt_waits_for_database",
    every: float = _WAIT,
) -> Answer:
    """The answer of the database to a look or a write, waiting for as long as it is away.

    Args:
        waits: called before each wait.
        event: what the log says then.
        every: seconds of each wait.
    """
    while True:
        try:
            return await ask()
        except Exception as error:
            if not is_away(error):
                raise
            log.warning(event, error=repr(error)[:500])
            if waits:
                waits()
            await asyncio.sleep(every)


def is_refused_data(error: BaseException) -> bool:
    """Whether the database refused a value that it was given, rather than a statement of ours that is wrong."""
    if not isinstance(error, DBAPIError):
        return False
    state: str | None = getattr(error.orig, "sqlstate", None)
    # 22: data exceptions; 54: program limits. asyncpg refuses some values itself, before the server sees them.
    return isinstance(error, DataError) or (state is not None and state.startswith(("22", "54")))


def error_text(error: BaseException) -> str:
    """Return an error's type and message for others to read: of the database's errors without statement and values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, DBAPIError) and cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__  # asyncpg's own, of which SQLAlchemy makes a copy
    return f"{type(cause).__name__}: {cause}".replace("\0", "\\0")[:1000]
