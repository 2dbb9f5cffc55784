"""What a publisher may ask of the encoder."""

from __future__ import annotations

import re
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

# The rates whose usual names are rounded: 23.976, 29.97, 47.95, 59.94, 119.88.
_NTSC_RATES: Final = tuple(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120))
# No exponents and no long numbers: a fraction of "1e999999999" takes hours and gigabytes to make.
_RATE: Final = re.compile(r"\d{1,40}(\.\d{1,40})?(/\d{1,40})?")


def parse_rate(value: object) -> str:
    """A frame rate as an exact rational, `numerator/denominator` in lowest terms.

    Takes `24`, `"25.000"`, `"23.976"`, `"24000/1001"`. A decimal within 0.005 of a 1000/1001 rate is that
    rate: 23.98 and 23.976 are 24000/1001.

    Raises:
        ValueError: not a number, or outside 1 to 240 frames a second.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        msg = 'a frame rate is a number or a rational such as "24000/1001"'
        raise ValueError(msg)
    try:
        text = str(value).strip()
        rate = Fraction(text if _RATE.fullmatch(text) else "")
    except (ValueError, ZeroDivisionError):
        msg = f'{value!r} is no frame rate: give a number or a rational such as "24000/1001"'
        raise ValueError(msg) from None
    if not 1 <= rate <= 240:
        msg = f"a frame rate of {float(rate):g} is outside 1 to 240 frames a second"
        raise ValueError(msg)
    for exact in _NTSC_RATES:
        if abs(rate - exact) < Fraction(1, 200):
            rate = exact
    return f"{rate.numerator}/{rate.denominator}"


_BITRATE: Final = re.compile(r"^(\d{1,6}(?:\.\d{1,3})?)([kM])$")


def parse_bitrate(value: object) -> str:
    """A bitrate with its unit: `"6M"`, `"27.5M"` or `"800k"` (bits a second, powers of 1000).

    Raises:
        ValueError: no unit, or outside 100k to 500M.
    """
    match = _BITRATE.match(value) if isinstance(value, str) else None
    if not match:
        msg = f'{value!r} is no bitrate: give a number with its unit, such as "28M" or "800k"'
        raise ValueError(msg)
    bits = bitrate_bits(match.group(0))
    if not 100_000 <= bits <= 500_000_000:
        msg = f"a bitrate of {value} is outside 100k to 500M"
        raise ValueError(msg)
    return match.group(0)


def bitrate_bits(bitrate: str) -> int:
    """Bits a second of a valid bitrate such as `"28M"`."""
    match = _BITRATE.match(bitrate)
    assert match, bitrate
    return int(Fraction(match.group(1)) * {"k": 1_000, "M": 1_000_000}[match.group(2)])


Rate = Annotated[
    str,
    BeforeValidator(parse_rate),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\d+(\.\d+)?(/\d+)?$"},
                {"type": "number", "minimum": 1, "maximum": 240},
            ],
            "description": 'Frames a second: a number, or an exact rational such as "24000/1001".',
        }
    ),
]
Bitrate = Annotated[
    str,
    BeforeValidator(parse_bitrate),
    WithJsonSchema({"type": "string", "pattern": _BITRATE.pattern, "description": 'Bits a second, such as "28M".'}),
]
Pixels = Annotated[int, Field(ge=2, le=16384)]


class X264Preset(StrEnum):
    """x264's presets, fastest first."""

    ULTRAFAST = "ultrafast"
    SUPERFAST = "superfast"
    VERYFAST = "veryfast"
    FASTER = "faster"
    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"
    SLOWER = "slower"
    VERYSLOW = "veryslow"


class Encoding(BaseModel):
    """Wishes for the outputs of one preview; what is left out follows the service's settings.

    A field that this version does not know is an error: ignoring it would make an output that its publisher
    did not ask for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: Pixels | None = Field(None, description="Canvas width in pixels; made even.")
    height: Pixels | None = Field(None, description="Canvas height in pixels; made even.")
    fps: Rate | None = Field(None, description="Output frame rate.")
    highdef_bitrate: Bitrate | None = Field(None, description="Target and cap of the high definition movie.")
    lowdef_bitrate: Bitrate | None = Field(None, description="Target and cap of the low definition movie.")
    preset: X264Preset | None = Field(None, description="x264 preset of both movies.")
    vbv_bufsize_factor: Annotated[float, Field(gt=0, le=10)] | None = Field(
        None, description="Size of the VBV buffer in seconds of the bitrate."
    )
    skip_highdef: bool = Field(False, description="Make no high definition movie.")
    skip_normalization: bool = Field(
        False, description="Serve the source as it came as the high definition movie; make no low definition."
    )
