"""How many bytes a source has, before anything reads them."""

from __future__ import annotations

from pathlib import Path

from rushes_schemas.failures import FailureCode

from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits


def check_length(source: Path, limits: Limits) -> int:
    """Bytes of a source, if it is neither empty nor too long to be read.

    Raises:
        MediaError: `source_empty` or `limits_exceeded`.
    """
    length = source.stat().st_size
    if length == 0:
        raise MediaError(FailureCode.SOURCE_EMPTY, "the source has 0 bytes")
    if length > limits.max_source_bytes:
        msg = f"the source's size in bytes is {length}; the limit is {limits.max_source_bytes}"
        raise MediaError(FailureCode.LIMITS_EXCEEDED, msg)
    return length
