"""PostgreSQL from a wheel, on loopback, for as long as we live."""

import asyncio
import os
import re
import secrets
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg

from rushes_embedded.leash import Leash, StartError, log_tail, wait_until_unused
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.postgres_files import PostgresFiles, prepare_postgres_files, remove_postgres_files
from rushes_embedded.readiness import wait_until_ready

_USER = "rushes"
_DATABASE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Postgres:
    """A PostgreSQL server whose data live in `folder` (as root perhaps elsewhere: see `postgres_files`).

    It listens on loopback only, on no Unix socket, with a random password. `durable` false trades the safety of the
    data against a crash of the machine (not of the server) for speed.
    """

    def __init__(self, folder: Path, *, log: Path, durable: bool = False) -> None:
        self.folder = folder
        self._log = log
        self._durable = durable
        self._password = ""
        self._port = free_ports(1)[0]
        self._files: PostgresFiles | None = None
        self._leash: Leash | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy's address of the maintenance database `postgres`, for asyncpg."""
        return self._url("postgres")

    @property
    def programs(self) -> Path:
        """The folder of `psql`, `pg_dump` and the like. Raises `StartError` when the server was not started."""
        if self._files is None:
            raise StartError("PostgreSQL was not started")
        return self._files.programs

    @property
    def pid(self) -> int:
        """The postmaster's process id. Raises `StartError` when the server was not started."""
        if self._leash is None:
            raise StartError("PostgreSQL was not started")
        return self._leash.pid

    def start(self, *, timeout: float = 180.0) -> None:
        """Start on the same port and data as before, if there were any; returns when it answers a query.

        Raises `StartError` when it does not within `timeout` seconds.
        """
        files = prepare_postgres_files(self.folder)
        self._files = files
        self._password = self._make_data(files)
        settings = [
            f"listen_addresses={LOOPBACK}",
            f"port={self._port}",
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=64MB",
            "timezone=UTC",
            *(() if self._durable else _NOT_DURABLE),
        ]
        self._leash = Leash(
            [files.programs / "postgres", "-D", files.data / "data", *(f"--{setting}" for setting in settings)],
            log=self._log,
            cwd=Path("/"),
            env=_clean_environment(),
            account=files.account,
            stop_signal=signal.SIGINT,  # PostgreSQL's "fast shutdown": clients are not waited for
        )
        self._leash.start()
        wait_until_ready("PostgreSQL", self._leash, self._answers, timeout=timeout)

    def stop(self, timeout: float | None = None) -> None:
        """Stop the server; its data stay, for a next `start`. `timeout` as in `Leash.stop`."""
        if self._leash is not None:
            self._leash.stop(timeout)

    def discard(self) -> None:
        """Stop the server and remove its data, also those that an earlier owner left."""
        self.stop()
        remove_postgres_files(self.folder)

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database as a copy of `template`, which must have no connections; return its address.

        The default template is empty. Raises `ValueError` for a name that would need quotes, `StartError` with
        PostgreSQL's words when it refuses.
        """
        for each in (name, template):
            if not _DATABASE_NAME.fullmatch(each):
                raise ValueError(f"not a plain lower-case database name: {each!r}")
        refusal = self._query(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        if refusal is not None:
            raise StartError(f"cannot create the database {name}: {refusal}")
        return self._url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and end every connection to it. Raises as `create_database` does."""
        if not _DATABASE_NAME.fullmatch(name):
            raise ValueError(f"not a plain lower-case database name: {name!r}")
        refusal = self._query(f"DROP DATABASE {name} WITH (FORCE)")
        if refusal is not None:
            raise StartError(f"cannot drop the database {name}: {refusal}")

    def _url(self, database: str) -> str:
        return f"postgresql+asyncpg://{_USER}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    def _answers(self) -> str | None:
        return self._query("SELECT 1")

    def _query(self, statement: str) -> str | None:
        """Run a statement in the database `postgres`: None, or what went wrong."""
        with ThreadPoolExecutor(1) as thread:  # the caller may be in an event loop
            return thread.submit(asyncio.run, self._execute(statement)).result()

    async def _execute(self, statement: str) -> str | None:
        try:
            connection = await asyncpg.connect(
                host=LOOPBACK, port=self._port, user=_USER, password=self._password, database="postgres",
                timeout=5, ssl=False,
            )  # fmt: skip
            try:
                await connection.execute(statement)
            finally:
                await connection.close()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return str(error) or repr(error)
        return None

    def _make_data(self, files: PostgresFiles) -> str:
        """Make the data folder if it is not there, whole or not at all; gives the password that it was made with."""
        data = files.data / "data"
        kept_password = files.data / "password"
        if data.exists():
            return kept_password.read_text()
        wait_until_unused(self._log, timeout=15)  # a killed owner's initdb, which still writes
        password = secrets.token_urlsafe(24)
        kept_password.unlink(missing_ok=True)
        with os.fdopen(os.open(kept_password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password)
        partial = files.data / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if files.account is not None:
            for path in (kept_password, partial):
                os.chown(path, files.account.uid, files.account.gid)
        self._initdb(files, partial, kept_password)
        partial.rename(data)
        return password

    def _initdb(self, files: PostgresFiles, data: Path, password: Path) -> None:
        initdb = Leash(
            [
                files.programs / "initdb",
                *("-D", data, "--username", _USER, "--auth", "scram-sha-256", "--pwfile", password),
                *("--encoding", "UTF8", "--locale", "C", "--no-instructions"),
                *(() if self._durable else ("--no-sync",)),
            ],
            log=self._log,
            cwd=Path("/"),
            env=_clean_environment(),
            account=files.account,
        )
        initdb.start()
        code = initdb.wait()
        if code != 0:
            raise StartError(f"initdb cannot make {data} (code {code}):\n{log_tail(self._log)}")


def _clean_environment() -> dict[str, str]:
    """Ours, without what would move PostgreSQL or its client elsewhere (PGDATA, PGHOST, PGSERVICE, ...)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
