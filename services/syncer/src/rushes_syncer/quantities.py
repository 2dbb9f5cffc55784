"""Bytes and moments as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_BYTES: Final = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_bytes(text: str) -> int:
    """`50M` as a number of bytes; k, M, G and T are powers of 1024.

    Raises:
        ValueError: it says no number of bytes above zero.
    """
    match = _BYTES.fullmatch(text.strip())
    number = round(float(match[1]) * 1024 ** _POWERS[match[2].lower()]) if match else 0
    if number < 1:
        msg = f"{text!r} is no number of bytes such as 500k, 50M or 1.5G"
        raise ValueError(msg)
    return number


def parse_moment(text: str, now: datetime) -> datetime:
    """`2026-11-01`, `2026-11-01T12:30+01:00` (UTC unless it says otherwise), or `36h` and `7d` before now.

    Raises:
        ValueError: it says no moment.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        msg = f"{text!r} is no moment such as 2026-11-01, 2026-11-01T12:30 (UTC), 36h or 7d"
        raise ValueError(msg) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
