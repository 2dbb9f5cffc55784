"""What a publisher may ask of the encoder."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rushes_schemas import Encoding
from rushes_schemas.encoding import bitrate_bits, parse_bitrate, parse_rate


@pytest.mark.parametrize(
    ("given_rate", "exact"),
    [
        (24, "24/1"),
        ("25.000", "25/1"),
        (25.0, "25/1"),
        (" 30 ", "30/1"),
        ("12.5", "25/2"),
        ("23.976", "24000/1001"),
        ("23.98", "24000/1001"),
        (23.976023976023978, "24000/1001"),
        ("29.97", "30000/1001"),
        ("47.952", "48000/1001"),
        ("59.94", "60000/1001"),
        ("119.88", "120000/1001"),
        ("24000/1001", "24000/1001"),
        ("48000/2002", "24000/1001"),
        (1, "1/1"),
        (240, "240/1"),
    ],
)
def test_rates_become_exact_rationals(given_rate: object, exact: str) -> None:
    assert parse_rate(given_rate) == exact


@pytest.mark.parametrize(
    "wrong",
    [
        True,
        None,
        [24],
        "",
        "film",
        "24 fps",
        "-24",
        "1/0",
        "24.5/2",
        "0.5",
        0,
        241,
        "nan",
        float("inf"),
        "1e2",
        "1e999999999",
        "1" + "0" * 400,
        10**400,
    ],
)
def test_what_is_no_rate_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="frame"):
        parse_rate(wrong)


@given(st.fractions(min_value=1, max_value=240, max_denominator=2000))
def test_an_exact_rate_is_kept_unless_a_usual_one_is_meant(rate: Fraction) -> None:
    parsed = Fraction(parse_rate(f"{rate.numerator}/{rate.denominator}"))
    assert parsed == rate or (parsed.denominator == 1001 and abs(parsed - rate) < Fraction(1, 200))


@given(st.fractions(min_value=1, max_value=240, max_denominator=2000))
def test_parsing_a_parsed_rate_changes_nothing(rate: Fraction) -> None:
    once = parse_rate(f"{rate.numerator}/{rate.denominator}")
    assert parse_rate(once) == once


@pytest.mark.parametrize(("bitrate", "bits"), [("28M", 28_000_000), ("27.5M", 27_500_000), ("800k", 800_000)])
def test_bitrates_have_units(bitrate: str, bits: int) -> None:
    assert parse_bitrate(bitrate) == bitrate
    assert bitrate_bits(bitrate) == bits


@pytest.mark.parametrize("wrong", ["28", 28, "28m", "28MB", "28 M", "-1M", "99k", "501M", "1e3k", None, ""])
def test_what_is_no_bitrate_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="bitrate"):
        parse_bitrate(wrong)


def test_nothing_asked_for_is_a_valid_wish() -> None:
    assert Encoding().model_dump(exclude_none=True) == {"skip_highdef": False, "skip_normalization": False}


@pytest.mark.parametrize(
    "wishes",
    [
        {"bitrate": "5M"},
        {"width": 1},
        {"height": 16386},
        {"width": "wide"},
        {"preset": "warp"},
        {"vbv_bufsize_factor": 0},
        {"vbv_bufsize_factor": 11},
        {"vbv_bufsize_factor": float("nan")},
        {"skip_highdef": "perhaps"},
    ],
    ids=str,
)
def test_wishes_that_cannot_be_met_are_refused(wishes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        Encoding.model_validate(wishes)
    assert refused.value.errors()[0]["loc"] == tuple(wishes)
