"""Opens the store that settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rushes_runtime.settings import StoreSettings
from rushes_runtime.store.interface import Store
from rushes_runtime.store.local import LocalStore
from rushes_runtime.store.s3 import S3Store


@asynccontextmanager
async def open_store(settings: StoreSettings) -> AsyncIterator[Store]:
    """The store, for as long as the block runs; nothing is asked of it yet."""
    if settings.kind == "local":
        assert settings.root is not None
        yield LocalStore(settings.root, settings.bucket_prefix)
    else:
        async with S3Store(settings) as store:
            yield store
