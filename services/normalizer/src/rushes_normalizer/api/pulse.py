"""Asks the database now and then, so that the time of its last answer tells whether it is there, however few call."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from rushes_runtime.database import Database, is_away
from rushes_runtime.health import Health
from rushes_runtime.waiting import wait_or_stop

log = structlog.get_logger(__name__)

_EVERY: Final = 10.0
_WITHIN: Final = 120.0  # an attempt at a database that does not answer takes its time


class DatabasePulse:
    """A look each ten seconds. What becomes of it, the metrics of the database say."""

    def __init__(self, database: Database, health: Health) -> None:
        self._database = database
        self._health = health

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop`."""
        while not stop.is_set():
            self._health.beat("pulse", within=_WITHIN)
            try:
                await self._database.fetch("SELECT 1")
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("database_away", error=repr(error)[:500])
            await wait_or_stop(stop, _EVERY)
        self._health.ended("pulse")
