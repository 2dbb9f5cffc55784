"""The syncer's settings."""

from __future__ import annotations

from pydantic import Field
from rushes_runtime.settings import Name, RuntimeSettings, StoreSettings


class SyncerSettings(RuntimeSettings):
    """What the syncer needs."""

    sites: dict[Name, StoreSettings] = Field(
        min_length=1, description="The sites to copy to, by name: `SITES__<NAME>__KIND` and so on."
    )
    skip_broken: bool = Field(False, description="Copy nothing of previews that are broken.")
    skip_missing: bool = Field(False, description="Copy nothing of previews that are missing.")
    sync_source_movies: bool = Field(False, description="Copy source movies, too.")
