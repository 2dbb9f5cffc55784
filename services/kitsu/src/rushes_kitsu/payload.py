"""What Zou sends with a dispatch: read once, at the edge.

It holds all of Zou's `FS_*` settings. What is not named here, credentials above all, is dropped while it is read.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from rushes_schemas import Encoding
from rushes_schemas.encoding import Pixels, Rate, X264Preset

# Zou's 0 takes the cap off; the largest buffer of `Encoding` comes nearest to that.
_NO_CAP: Final = 10.0

_PLAYLIST_KEY: Final = r"^playlists-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_LONGEST_PLAYLIST: Final = 10_000

Megabits = Annotated[float, Field(ge=0.1, le=500)]


class RefusedError(Exception):
    """A dispatch that is not taken; the text says why, and goes to Zou's log."""


class StorePayload(BaseModel):
    """What every payload says of Zou's store; credentials are not read."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    VERSION: ClassVar[str]

    backend: str = Field("local", alias="FS_BACKEND")
    bucket_prefix: str = Field("", alias="FS_BUCKET_PREFIX")
    root: str | None = Field(None, alias="FS_ROOT")
    s3_endpoint: str | None = Field(None, alias="FS_S3_ENDPOINT")
    s3_encrypted: bool = Field(False, alias="FS_S3_AES256_ENCRYPTED")
    swift_authurl: str | None = Field(None, alias="FS_SWIFT_AUTHURL")
    swift_encrypted: bool = Field(False, alias="FS_SWIFT_AES256_ENCRYPTED")


class MoviePayload(StorePayload):
    """The payload of a normalize job, version 2, as Zou 1.0.97 sends it. Bitrates are in Mbit/s."""

    VERSION: ClassVar[str] = "2"

    preview_file_id: UUID
    width: Pixels | None = None
    height: Pixels | None = None
    fps: Rate | None = None
    skip_high_def: bool = False
    skip_normalization: bool = False
    preset: X264Preset | None = None
    vbv_bufsize_factor: Annotated[float, Field(ge=0, le=10)] | None = None
    highdef_bitrate: Megabits | None = None
    lowdef_bitrate: Megabits | None = None

    @property
    def of(self) -> UUID:
        """The preview that was uploaded."""
        return self.preview_file_id

    def encoding(self) -> Encoding:
        """The wishes, as an upload's event carries them."""
        return Encoding(
            width=self.width,
            height=self.height,
            fps=self.fps,
            preset=self.preset,
            vbv_bufsize_factor=_NO_CAP if self.vbv_bufsize_factor == 0 else self.vbv_bufsize_factor,
            highdef_bitrate=_with_unit(self.highdef_bitrate),
            lowdef_bitrate=_with_unit(self.lowdef_bitrate),
            skip_highdef=self.skip_high_def,
            skip_normalization=self.skip_normalization,
        )


class PlaylistPayload(StorePayload):
    """The payload of a playlist job, version 1: movies to be joined, and the key in the bucket of movies.

    Attributes:
        preview_file_ids: in the order in which they play; one may come again.
        full: code every frame anew, to the size and rate that are given.
    """

    VERSION: ClassVar[str] = "1"

    output_key: Annotated[str, Field(pattern=_PLAYLIST_KEY)]
    preview_file_ids: Annotated[tuple[UUID, ...], Field(alias="input", min_length=1, max_length=_LONGEST_PLAYLIST)]
    width: Pixels | None = None
    height: Pixels | None = None
    fps: Rate | None = None
    full: bool = False

    @field_validator("preview_file_ids", mode="before")
    @classmethod
    def _unpacked(cls, packed: Any) -> Any:
        """Base64 of zlib of a JSON list, which may not be larger than a list of that many ids."""
        reader = zlib.decompressobj()
        try:
            unpacked = reader.decompress(base64.b64decode(packed, validate=True), 64 * _LONGEST_PLAYLIST)
            if not reader.eof:
                raise ValueError
            return json.loads(unpacked)
        except (ValueError, TypeError, zlib.error):
            raise ValueError("it is not base64 of zlib of a JSON list of ids, or too long a one") from None

    @property
    def of(self) -> UUID:
        """The id of Zou's build of the playlist."""
        return UUID(self.output_key.partition("-")[2])


class TilePayload(StorePayload):
    """The payload of a tile job, version 1: the movie is the first that exists under one of the prefixes."""

    VERSION: ClassVar[str] = "1"

    preview_file_id: UUID
    movie_prefixes: Annotated[tuple[Literal["previews", "lowdef", "source"], ...], Field(max_length=3)] = ()

    @property
    def of(self) -> UUID:
        """The preview whose tile is missing."""
        return self.preview_file_id


AnyPayload: TypeAlias = MoviePayload | PlaylistPayload | TilePayload
Payload = TypeVar("Payload", bound=StorePayload)


def _with_unit(megabits: float | None) -> str | None:
    return None if megabits is None else f"{round(megabits * 1000)}k"


def read_payload(body: bytes, kind: type[Payload]) -> Payload:
    """The payload of one kind in the body of a dispatch.

    Raises:
        RefusedError: it is none, or of another version; the text quotes nothing of what was sent.
    """
    try:
        sent = json.loads(body)["Payload"]
        values = json.loads(base64.b64decode(sent, validate=True))
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise RefusedError("the body is not that of a dispatch: JSON whose Payload is base64 of JSON") from None
    if isinstance(values, dict) and str(values.get("version")) != kind.VERSION:
        raise RefusedError(
            f"the payload is not of version {kind.VERSION}, which Zou 1.0.97 sends: this version of rushes-kitsu "
            "serves no other"
        )
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise RefusedError(f"the payload cannot be used: {wrong}") from None
