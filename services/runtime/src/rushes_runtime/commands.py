"""What the command lines of all services share."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from aiokafka.errors import KafkaError
from pydantic_settings import BaseSettings
from rich.console import Console

from rushes_runtime.database import Database, is_away
from rushes_runtime.failures import StartRefusedError
from rushes_runtime.kafka import create_topics
from rushes_runtime.logs import configure_logs
from rushes_runtime.migrations import await_schema, migrate
from rushes_runtime.settings import (
    CommandSettings,
    DatabaseClientSettings,
    KafkaSettings,
    SettingsError,
    SettingsModel,
    describe_settings,
    load_settings,
)
from rushes_runtime.store import StoreError

ROLES: Final = ("intake", "worker", "relay", "janitor")

errors = Console(stderr=True, highlight=False, soft_wrap=True)
WaitOnly = Annotated[
    bool, typer.Option("--wait", help="Change nothing: wait until another process has migrated to this version.")
]


def fail(message: str, code: int = 1) -> NoReturn:
    """Say on stderr what is wrong and what to do, and end with a code."""
    errors.print(message, markup=False)
    raise typer.Exit(code)


def settings_or_exit(model: type[SettingsModel]) -> SettingsModel:
    """The settings; wrong ones end the process with code 2 and a line each."""
    try:
        settings = load_settings(model)
    except SettingsError as error:
        fail(str(error), 2)
    if isinstance(settings, CommandSettings):
        configure_logs(settings.log_level, settings.log_format)
    return settings


def roles_or_exit(roles: str) -> frozenset[str]:
    """The roles named in `intake,worker,…`."""
    chosen = frozenset(part.strip() for part in roles.split(",") if part.strip())
    unknown = chosen - set(ROLES)
    if unknown or not chosen:
        fail(f"--roles takes {', '.join(ROLES)}, separated by commas; not {roles!r}", 2)
    return chosen


def run_async(main: Coroutine[Any, Any, int | None]) -> None:
    """Run a command's coroutine; what it returns is the exit code."""
    code = asyncio.run(main)
    if code:
        raise typer.Exit(code)


def run_guarded(main: Callable[[], Awaitable[int | None]]) -> None:
    """Run a command; what its servers refuse becomes one sentence and exit code 1, another's data code 2."""

    async def guarded() -> int | None:
        try:
            return await main()
        except StoreError as error:
            fail(f"the store says: {error.message}")
        except StartRefusedError as error:
            fail(str(error), 2)
        except ValueError as error:
            fail(str(error))
        except KafkaError as error:
            fail(f"Kafka (KAFKA__BOOTSTRAP_SERVERS): {error}")
        except Exception as error:
            if not is_away(error):
                raise
            said = str(error).partition("\n")[0]  # the statement follows
            fail(f"PostgreSQL (DATABASE_URL): {said}")

    run_async(guarded())


@asynccontextmanager
async def open_database(settings: DatabaseClientSettings, schema: str) -> AsyncIterator[Database]:
    """The service's database, for as long as the block runs."""
    database = Database.of(settings, schema)
    try:
        yield database
    finally:
        await database.close()


def waited_only(wait: bool, settings: DatabaseClientSettings, schema: str, migrations: Path, **changes: bool) -> bool:
    """Whether `migrate` was only to wait for another process, and has; with an option that changes something, code 2.

    Args:
        changes: the options of the command that change something, by name.
    """
    if not wait:
        return False
    if any(changes.values()):
        fail(f"--wait changes nothing: it goes without {' and '.join(f'--{name}' for name in changes)}", 2)
    _wait_for_migration(settings, schema, migrations)
    return True


async def bring_schema_up(settings: DatabaseClientSettings, schema: str, migrations: Path, out: Console) -> None:
    """Bring a service's database schema to this version, and say so."""
    async with open_database(settings, schema) as database:
        before, now = await migrate(database, migrations, settings.instance)
    out.print(f"database schema {schema}: {before or 'new'} → {now}")


async def make_topics(
    settings: KafkaSettings, topics: Mapping[str, Mapping[str, str]], *, partitions: int, replicas: int, out: Console
) -> None:
    """Create the topics that are not there, and say which."""
    created = await create_topics(settings, topics, partitions=partitions, replicas=replicas)
    out.print(f"topics created: {', '.join(created) or 'none, all are there'}")


def _wait_for_migration(settings: DatabaseClientSettings, schema: str, migrations: Path) -> None:
    """Wait until the schema is at this version, saying each new reason on stderr; exit code 1 after SIGTERM."""

    async def main() -> int:
        # The first process of a container is not ended by a signal that it has no handler for.
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        said = ""

        def say(reason: str) -> None:
            nonlocal said
            if reason != said:
                errors.print(f"waiting: {reason}", markup=False)
            said = reason

        async with open_database(settings, schema) as database:
            there = await await_schema(database, migrations, settings.instance, stop=stop, waits=say)
        return 0 if there else 1

    run_guarded(main)


def print_json(value: Any) -> None:
    """Print one JSON value on stdout."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def settings_table(model: type[BaseSettings]) -> str:
    """A settings model as a Markdown table, for the documentation."""
    rows: Sequence[str] = [
        f"| `{variable}` | {_default(field)} | {field.description or ''} |"
        for variable, field in describe_settings(model)
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def _default(field: Any) -> str:
    if field.is_required():
        return "**required**"
    return "" if field.default is None or field.default == "" else f"`{field.default}`"
