"""The syncer's settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import BeforeValidator, Field
from rushes_runtime.settings import Name, RuntimeSettings, Seconds, StoreSettings
from rushes_schemas import ObjectKind

from rushes_syncer.deciding import SyncRules
from rushes_syncer.quantities import parse_bytes

Item = TypeVar("Item")


def _parted(value: object) -> object:
    """`a,b` as its parts; what is not one text stays as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _as_bytes(value: object) -> object:
    """`50M` as bytes; a number stays as it is."""
    return parse_bytes(value) if isinstance(value, str) else value


ByCommas = Annotated[frozenset[Item], BeforeValidator(_parted)]


class SiteSettings(StoreSettings):
    """A site: its store, and what it takes."""

    projects: ByCommas[UUID] | None = Field(
        None, min_length=1, description="Ids of the only projects that are copied, by commas; default: all."
    )
    kinds: ByCommas[ObjectKind] | None = Field(
        None, min_length=1, description="The only kinds of objects that are copied, by commas; default: all."
    )
    max_age: Seconds | None = Field(
        None, description="Seconds after an upload in which it is copied; default: for ever."
    )
    bandwidth: Annotated[int, Field(gt=0), BeforeValidator(_as_bytes)] | None = Field(
        None, description="Bytes a second of all copies of a process to it together, such as 50M; default: no limit."
    )


class SyncerSettings(RuntimeSettings):
    """What the syncer needs."""

    sites: dict[Name, SiteSettings] = Field(
        min_length=1, description="The sites to copy to, by name: `SITES__<NAME>__KIND` and so on."
    )
    skip_broken: bool = Field(False, description="Copy nothing of previews that are broken.")
    skip_missing: bool = Field(False, description="Copy nothing of previews that are missing.")
    sync_source_movies: bool = Field(False, description="Copy source movies, too.")
    prune: bool = Field(
        False, description="Remove from the sites what belongs to previews that were deleted or are missing."
    )

    def rules_of(self, site: str) -> SyncRules:
        """What decides about a site."""
        own = self.sites[site]
        return SyncRules(
            skip_broken=self.skip_broken,
            skip_missing=self.skip_missing,
            sync_source_movies=self.sync_source_movies,
            prune=self.prune,
            projects=own.projects,
            kinds=own.kinds,
            max_age=None if own.max_age is None else timedelta(seconds=own.max_age),
        )


class AnySitesSettings(SyncerSettings):
    """As the syncer's; there may be no site left."""

    sites: dict[Name, SiteSettings] = Field(default_factory=dict, description="The sites that there are.")
