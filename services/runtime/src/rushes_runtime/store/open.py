"""Opens the store that settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rushes_runtime.settings import StoreSettings
from rushes_runtime.store.interface import Store
from rushes_runtime.store.local import LocalStore


@asynccontextmanager
async def open_store(settings: StoreSettings) -> AsyncIterator[Store]:
    """The store, for as long as the block runs; nothing is asked of it yet."""
    if settings.kind == "local":
        assert settings.root is not None
        yield LocalStore(settings.root, settings.bucket_prefix)
    else:
        # Only here: its client takes a third of the time that a command needs to start, and most need no store.
        from rushes_runtime.store.s3 import S3Store  # noqa: PLC0415

        async with S3Store(settings) as store:
            yield store
