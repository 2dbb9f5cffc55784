"""The loop that keeps Zou true to what Rushes has made."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from rushes_runtime.database import Database, is_away
from rushes_runtime.health import Health
from rushes_runtime.waiting import wait_or_stop

from rushes_kitsu import announced, metrics
from rushes_kitsu.announced import Announced
from rushes_kitsu.reconciling import Step, fields_of, step_for
from rushes_kitsu.zou_api import ZouApi, ZouError

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 50
_TRIED_WITH: Final = "1.0.97"
_LOOK_AGAIN: Final = 6  # intervals until a preview that Zou still works on is looked at again


class Follower:
    """Looks at previews that Rushes has said something of, and sets right what Zou says of them. Several may run."""

    def __init__(
        self,
        database: Database,
        zou: ZouApi,
        health: Health,
        *,
        interval: float,
        patience: timedelta,
        expose_missing: bool,
    ) -> None:
        self._database = database
        self._zou = zou
        self._health = health
        self._interval = interval
        self._patience = patience
        self._expose_missing = expose_missing
        self._version = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again until `stop`. A Zou or a database that is away is waited for."""
        metrics.ZOU_ANSWERED.set_to_current_time()
        while not stop.is_set():
            self._health.beat("follower", within=max(120.0, 20 * self._interval))
            more = False
            try:
                await self._measure()
                await self._greet()
                more = await self._look()
                metrics.ZOU_ANSWERED.set_to_current_time()
            except ZouError as error:
                log.warning("zou_away", error=str(error))
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("follower_waits_for_database", error=repr(error)[:500])
            if not more:
                await wait_or_stop(stop, self._interval)
        self._health.ended("follower")

    async def _measure(self) -> None:
        """Before anything of Zou: that Zou is away must not look as if the database were."""
        waiting = await announced.waiting(self._database)
        metrics.UNSETTLED.set(waiting.previews)
        metrics.OLDEST_UNSETTLED.set(waiting.oldest)

    async def _greet(self) -> None:
        """Ask Zou who it is, so that one that is away or refuses the token is known before anything depends on it."""
        version = await self._zou.version()
        if version != self._version:
            self._version = version
            log.info("zou_found", version=version)
            if _numbers(version) < _numbers(_TRIED_WITH):
                log.warning("zou_is_old", version=version, tried_with=_TRIED_WITH)

    async def _look(self) -> bool:
        """Look at some; whether there may be more."""
        found = await announced.unsettled(self._database, again=_LOOK_AGAIN * self._interval, limit=_AT_ONCE)
        for said in found:
            await self._set_right(said)
        return len(found) == _AT_ONCE

    async def _set_right(self, said: Announced) -> None:
        zou = await self._zou.preview(said.preview_file_id)
        missing = self._expose_missing
        step = step_for(zou, said, now=datetime.now(UTC), patience=self._patience, expose_missing=missing)
        if step is Step.CORRECT:
            fields = fields_of(said, expose_missing=missing)
            await self._zou.update(said.preview_file_id, fields)
            was = zou.status if zou else None
            log.info(
                "zou_corrected", preview_file_id=str(said.preview_file_id), status_was=was, status=fields["status"]
            )
        if step is not Step.LATER:
            await announced.settle(self._database, said)
        metrics.RECONCILED.labels(step.value).inc()


def _numbers(version: str) -> list[int]:
    """A version, so that two can be compared."""
    return [int(part) for part in re.findall(r"\d+", version)]
