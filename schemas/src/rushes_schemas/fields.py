"""Field types as narrow as the columns that keep them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints, WithJsonSchema

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


def _without_nul(text: str) -> str:
    if "\0" in text:
        msg = "a NUL character cannot be stored; leave it out"
        raise ValueError(msg)
    return text


def _bare(etag: str) -> str:
    """S3 answers with quotes around etags; one form is kept."""
    return etag.strip('"')


def _no_dot_segments(key: str) -> str:
    if any(part in {"", ".", ".."} for part in key.split("/")):
        msg = "an object key has no empty, '.' or '..' part"
        raise ValueError(msg)
    return key


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        msg = "a moment lies in the years 1 to 9999 in UTC"
        raise ValueError(msg) from None


def _lower(value: object) -> object:
    return value.lower().removeprefix(".") if isinstance(value, str) else value


Text250 = Annotated[str, StringConstraints(max_length=250), AfterValidator(_without_nul)]
Text2000 = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_without_nul)]
Etag = Annotated[
    str, StringConstraints(min_length=1, max_length=250), AfterValidator(_without_nul), AfterValidator(_bare)
]
Extension = Annotated[
    str,
    BeforeValidator(_lower),
    StringConstraints(pattern=r"^[a-z0-9]{1,6}$"),
    WithJsonSchema({"type": "string", "pattern": r"^\.?[A-Za-z0-9]{1,6}$"}),
]
ObjectKey = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9!_.*'()/-]{1,400}$"),
    AfterValidator(_no_dot_segments),
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
NonNegative32 = Annotated[int, Field(ge=0, le=INT32_MAX)]
NonNegative64 = Annotated[int, Field(ge=0, le=INT64_MAX)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
