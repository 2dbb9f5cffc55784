"""Passes over several sites, side by side: one that fails stops no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, TypeVar
from uuid import uuid4

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rushes_runtime.commands import errors, open_database
from rushes_runtime.database import Database
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.leases import RoleLease
from rushes_runtime.service import process_name
from rushes_runtime.store import open_store
from rushes_runtime.together import together

from rushes_syncer.settings import SyncerSettings
from rushes_syncer.sites import SCHEMA
from rushes_syncer.survey import Sides

Report = TypeVar("Report")
_SHOWN_EVERY: Final = 0.1  # seconds
_LEASE: Final = 15.0  # seconds after which a pass that was killed can be gone on with


class PassBar:
    """A pass as a line of a progress display: objects while it looks, then bytes and the time that is left."""

    def __init__(self, bar: Progress, site: str) -> None:
        self._bar = bar
        self._site = site
        self._looked = 0
        self._copied = 0
        self._shown = 0.0
        self._line = bar.add_task(f"{site}: looking", total=None)

    def looked(self, objects: int) -> None:
        """So many more keys were looked at."""
        self._looked += objects
        if self._is_time():
            self._bar.update(self._line, description=f"{self._site}: {self._looked} objects looked at")

    def found(self, objects: int, size: int) -> None:
        """Both sides are compared."""
        self._bar.update(self._line, total=size, completed=0, description=f"{self._site}: {objects} to copy")

    def copied(self, size: int) -> None:
        """One more object is done."""
        self._copied += size
        if self._is_time():
            self._bar.update(self._line, completed=self._copied)

    def _is_time(self) -> bool:
        """Each change of the display costs as much as a small copy does."""
        now = time.monotonic()
        if now - self._shown < _SHOWN_EVERY:
            return False
        self._shown = now
        return True


OnePass: TypeAlias = Callable[[str, Sides, PassBar], Awaitable[Report]]


async def over_sites(
    settings: SyncerSettings, names: Sequence[str], source: str | None, one: OnePass[Report]
) -> tuple[list[Report], dict[str, str]]:
    """Make a pass over each site, all at once; the reports, and by site why there is none.

    Args:
        one: makes the pass over one site, given its name, both sides and its line of the display.
        source: the site that is compared with; None: the main store.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    reports: dict[str, Report] = {}
    stopped: dict[str, str] = {}
    from_store = settings.sites[source] if source else settings.store
    with Progress(
        *columns, TimeRemainingColumn(), console=errors, transient=True, disable=not errors.is_terminal
    ) as bar:
        async with open_database(settings, SCHEMA) as database, open_store(from_store) as main:

            async def pass_over(name: str) -> None:
                try:
                    async with open_store(settings.sites[name]) as site, _alone(database, name):
                        sides = Sides(database, main, site, settings.instance)
                        reports[name] = await one(name, sides, PassBar(bar, name))
                except AttemptFailedError as error:
                    stopped[name] = error.message

            await together(*(pass_over(name) for name in names))
    return [reports[name] for name in names if name in reports], stopped


@asynccontextmanager
async def _alone(database: Database, site: str) -> AsyncIterator[None]:
    """While the block runs no other pass over the site does. It spares work; two at once would do no harm."""
    lease = RoleLease(database, f"pass {site}", f"{process_name()}-{uuid4()}", _LEASE)
    said = False
    while not await lease.hold():
        if not said:
            errors.print(f"{site}: another pass runs, or was killed a moment ago; waiting", markup=False)
            said = True
        await asyncio.sleep(0.5)
    renewing = asyncio.create_task(_renew(lease.hold))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await lease.give_back()


async def _renew(hold: Callable[[], Awaitable[bool]]) -> None:
    while True:
        await asyncio.sleep(_LEASE / 3)
        await hold()
