"""What killed copies leave at sites: uploads in parts, and files under temporary names, which nobody sees.

Workers look once an hour, and a full pass at its start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog
from rushes_runtime.store import Store, StoreError
from rushes_runtime.waiting import Hint, wait_or_stop
from rushes_schemas.outputs import BUCKETS

from rushes_syncer.copying import kind_of_key

log = structlog.get_logger(__name__)

_ABANDONED_AFTER: Final = timedelta(days=1)  # more than any copy takes
_EVERY: Final = 3600.0  # seconds


async def remove_abandoned(site: Store, older_than: timedelta | None = None) -> int:
    """Remove from a site what killed copies left; how many.

    An S3 store does not tell who began an upload. At a site only Rushes writes to keys of previews, and an upload that
    is older than any copy takes has no writer any more.

    Args:
        older_than: default: a day.

    Raises:
        StoreError: the site cannot be asked.
    """
    before = datetime.now(UTC) - (_ABANDONED_AFTER if older_than is None else older_than)
    removed = 0
    for bucket in BUCKETS:
        removed += await site.abort_uploads(bucket, before, partial(_is_ours, bucket))
    if removed:
        log.info("abandoned_uploads_removed", store=site.name, uploads=removed)
    return removed


def _is_ours(bucket: str, key: str) -> bool:
    return kind_of_key(bucket, key) is not None


async def tidy(name: str, site: Store) -> None:
    """Remove from a site what killed copies left; one that is away, or refuses, is left as it is."""
    try:
        await remove_abandoned(site)
    except StoreError as error:
        log.warning("abandoned_uploads_unknown", site=name, error=error.message)


class AbandonedUploads:
    """A role: looks at each site now and then. A site that is away, or refuses, waits for the next time."""

    def __init__(self, sites: Mapping[str, Store]) -> None:
        self._sites = sites
        self.hint = Hint()  # nothing in the ledger is of interest here

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop`; one slow site delays no other."""
        async with asyncio.TaskGroup() as sites:
            for name, site in self._sites.items():
                sites.create_task(self._look(name, site, stop))

    async def _look(self, name: str, site: Store, stop: asyncio.Event) -> None:
        while not stop.is_set():
            looking = asyncio.create_task(tidy(name, site))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (looking, stopping):
                task.cancel()
            await asyncio.gather(looking, stopping, return_exceptions=True)
            await wait_or_stop(stop, _EVERY)
