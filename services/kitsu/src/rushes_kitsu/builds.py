"""What Zou orders to be built besides uploads, as tasks of the bridge's own ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from rushes_runtime.ledger import NewTask
from rushes_schemas import ObjectKind, object_key
from rushes_schemas.encoding import Pixels, Rate
from rushes_schemas.outputs import MOVIES, PICTURES

from rushes_kitsu.dispatches import Kind
from rushes_kitsu.payload import PlaylistPayload, TilePayload

Prefix: TypeAlias = Literal["previews", "lowdef", "source"]

# Which versions of a movie there are, the settings of both sides decide; the best first. A tile is small: low
# definition will do for it.
_BEST_FIRST: Final[tuple[Prefix, ...]] = ("previews", "lowdef", "source")
_SMALL_FIRST: Final[tuple[Prefix, ...]] = ("lowdef", "previews", "source")
# Somebody waits for a playlist; a tile may wait an hour for it.
_TILE_OFFSET: Final = timedelta(hours=1)


class Build(BaseModel):
    """A playlist or a tile to be built.

    Attributes:
        of: Zou's id of the playlist's build, or the preview of the tile.
        movies: the previews whose movies are read, in their order.
        prefixes: under which of them a movie is looked for, in this order.
        full: code every frame anew.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Kind
    of: UUID
    movies: tuple[UUID, ...]
    prefixes: tuple[Prefix, ...]
    width: Pixels | None = None
    height: Pixels | None = None
    fps: Rate | None = None
    full: bool = False

    @classmethod
    def ordered(cls, payload: PlaylistPayload | TilePayload) -> Build:
        """What a dispatch asks for."""
        if isinstance(payload, PlaylistPayload):
            return cls(
                kind=Kind.PLAYLIST,
                of=payload.of,
                movies=payload.preview_file_ids,
                prefixes=_BEST_FIRST,
                width=payload.width,
                height=payload.height,
                fps=payload.fps,
                full=payload.full,
            )
        movie = payload.preview_file_id
        recorded = tuple(dict.fromkeys((*payload.movie_prefixes, *_SMALL_FIRST)))
        return cls(kind=Kind.TILE, of=movie, movies=(movie,), prefixes=recorded)

    def task(self, at: datetime) -> NewTask:
        """The task of an order of that time."""
        rank = at + _TILE_OFFSET if self.kind is Kind.TILE else at
        return NewTask(subject_of(self.kind, self.of), self.kind.value, rank, self.model_dump(mode="json"))

    @property
    def place(self) -> tuple[str, str, str]:
        """Bucket, key and content type of what is built."""
        if self.kind is Kind.PLAYLIST:
            return MOVIES, f"playlists-{self.of}", "video/mp4"
        return PICTURES, object_key(ObjectKind.TILE, self.of), "image/png"

    def keys_of(self, movie: UUID) -> Iterator[str]:
        """The keys in the bucket of movies under which a movie may lie."""
        return (f"{prefix}-{movie}" for prefix in self.prefixes)


def subject_of(kind: Kind, of: UUID) -> str:
    """The subject of a build's task."""
    return f"{kind.value}/{of}"


def parse_subject(subject: str) -> tuple[Kind, UUID]:
    """The inverse of `subject_of`."""
    kind, _, of = subject.partition("/")
    return Kind(kind), UUID(of)
