"""What Zou sends with a dispatch: read once, at the edge.

It holds all of Zou's `FS_*` settings. What is not named here, credentials above all, is dropped while it is read.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from rushes_schemas import Encoding
from rushes_schemas.encoding import Pixels, Rate, X264Preset

# Zou's 0 takes the cap off; the largest buffer of `Encoding` comes nearest to that.
_NO_CAP: Final = 10.0

Megabits = Annotated[float, Field(ge=0.1, le=500)]


class RefusedError(Exception):
    """A dispatch that is not taken; the text says why, and goes to Zou's log."""


class MoviePayload(BaseModel):
    """The payload of a normalize job, version 2, as Zou 1.0.97 sends it. Bitrates are in Mbit/s."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    version: Literal["2"]
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
    backend: str = Field("local", alias="FS_BACKEND")
    bucket_prefix: str = Field("", alias="FS_BUCKET_PREFIX")
    root: str | None = Field(None, alias="FS_ROOT")
    s3_endpoint: str | None = Field(None, alias="FS_S3_ENDPOINT")
    s3_encrypted: bool = Field(False, alias="FS_S3_AES256_ENCRYPTED")
    swift_authurl: str | None = Field(None, alias="FS_SWIFT_AUTHURL")
    swift_encrypted: bool = Field(False, alias="FS_SWIFT_AES256_ENCRYPTED")

    @field_validator("version", mode="before")
    @classmethod
    def _as_text(cls, version: Any) -> Any:
        return str(version) if isinstance(version, int) else version

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


def _with_unit(megabits: float | None) -> str | None:
    return None if megabits is None else f"{round(megabits * 1000)}k"


def read_movie_payload(body: bytes) -> MoviePayload:
    """The payload in the body of a dispatch.

    Raises:
        RefusedError: it is none, or of another version; the text quotes nothing of what was sent.
    """
    try:
        sent = json.loads(body)["Payload"]
        values = json.loads(base64.b64decode(sent, validate=True))
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise RefusedError("the body is not that of a dispatch: JSON whose Payload is base64 of JSON") from None
    if isinstance(values, dict) and str(values.get("version")) != "2":
        raise RefusedError(
            "the payload is not of version 2, which Zou 1.0.97 sends: this version of rushes-kitsu serves no other"
        )
    try:
        return MoviePayload.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise RefusedError(f"the payload cannot be used: {wrong}") from None
