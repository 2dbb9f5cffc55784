"""Constant or variable, which output rate, and what a change of rate does: decided from numbers alone."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rushes_normalizer.media.cadence import STANDARD_RATES, cadence, longest_hold, output_rate, retime, untimed_cadence
from rushes_normalizer.media.facts import Cadence

MILLISECOND = Fraction(1, 1000)
NTSC_FILM = Fraction(24000, 1001)


def constant(rate: Fraction | int, frames: int = 100) -> Cadence:
    return Cadence(frames, Fraction(rate), True, (), 0, MILLISECOND, Fraction(0))


def variable(*shown_at: int, end: int, tick: Fraction = MILLISECOND) -> Cadence:
    average = Fraction(len(shown_at) - 1) / (shown_at[-1] * tick)
    return Cadence(len(shown_at), average, False, shown_at, end, tick, Fraction(0))


@given(
    rate=st.sampled_from(STANDARD_RATES),
    frames=st.integers(3, 400),
    tick=st.sampled_from([MILLISECOND, Fraction(1, 90000), Fraction(1, 12800)]),
    start=st.integers(-5000, 10**7),
)
def test_a_rounded_clock_hides_no_constant_rate(rate: Fraction, frames: int, tick: Fraction, start: int) -> None:
    timestamps = [start + round(n / rate / tick) for n in range(frames)]
    found = cadence(timestamps, last_duration=None, tick=tick, declared=[rate])
    assert (found.constant, found.rate, found.frame_count) == (True, rate, frames)
    assert found.start == start * tick
    assert found.duration == frames / rate


def test_timestamps_outvote_a_false_claim() -> None:
    timestamps = [round(n * 1000 / 25) for n in range(50)]
    assert cadence(timestamps, last_duration=40, tick=MILLISECOND, declared=[Fraction(30)]).rate == 25


def test_23_976_and_24_are_told_apart_in_milliseconds() -> None:
    timestamps = [round(n * 1000 / NTSC_FILM) for n in range(200)]
    assert cadence(timestamps, last_duration=42, tick=MILLISECOND, declared=[Fraction(24)]).rate == NTSC_FILM


def test_order_of_decoding_does_not_matter() -> None:
    found = cadence([0, 120, 40, 80, 240, 160, 200], last_duration=40, tick=MILLISECOND, declared=[])
    assert found.constant
    assert found.rate == 25


@pytest.mark.parametrize("timestamps", [[0, 40, 120, 160], [0, 33, 100, 133, 200], [0, 0, 40, 80], [0, 900_000]])
def test_uneven_timestamps_are_a_variable_rate(timestamps: list[int]) -> None:
    found = cadence(timestamps, last_duration=40, tick=MILLISECOND, declared=[Fraction(25)])
    assert not found.constant
    assert found.duration == (timestamps[-1] + 40) * MILLISECOND


def test_one_frame_has_the_rate_that_is_claimed() -> None:
    assert cadence([512], last_duration=40, tick=MILLISECOND, declared=[Fraction(24)]).rate == 24
    assert cadence([0], last_duration=None, tick=MILLISECOND, declared=[]).rate == 25


def test_frames_without_timestamps_follow_the_claim() -> None:
    assert untimed_cadence(10, [Fraction(30)]).duration == Fraction(1, 3)


@pytest.mark.parametrize(
    ("source", "rate"),
    [
        *((rate, rate) for rate in STANDARD_RATES),
        (Fraction(12), Fraction(24)),
        (Fraction(15), Fraction(30)),
        (Fraction(25, 2), Fraction(25)),
        (Fraction(120), Fraction(60)),
        (Fraction(120000, 1001), Fraction(60000, 1001)),
        (Fraction(100), Fraction(50)),
        (Fraction(22), Fraction(24)),
        (Fraction(27), Fraction(30000, 1001)),
        (Fraction(90), Fraction(30)),
        (Fraction(71), Fraction(60)),
    ],
)
def test_a_constant_rate_becomes_one_that_players_know(source: Fraction, rate: Fraction) -> None:
    assert output_rate(constant(source), None) == rate


@pytest.mark.parametrize(
    ("average", "rate"),
    [("1", "24"), ("20", "24"), ("24.4", "25"), ("25.02", "25"), ("29.5", "30000/1001"), ("99", "60")],
)
def test_a_variable_rate_becomes_the_standard_one_above_it(average: str, rate: str) -> None:
    source = Cadence(100, Fraction(average), False, (0, 1), 2, MILLISECOND, Fraction(0))
    assert output_rate(source, None) == Fraction(rate)


def test_a_wish_is_followed_whatever_the_source() -> None:
    assert output_rate(constant(24), Fraction(30)) == 30


def test_the_same_rate_changes_nothing() -> None:
    kept = retime(constant(NTSC_FILM, 77), NTSC_FILM)
    assert (kept.frame_count, kept.duplicated, kept.dropped) == (77, 0, 0)


@pytest.mark.parametrize(
    ("source", "rate", "expected"),
    [
        (constant(24, 48), 30, (60, 12, 0)),
        (constant(24, 24), 25, (25, 1, 0)),
        (constant(50, 20), 25, (10, 0, 10)),
        (constant(50, 1), 25, (1, 0, 0)),
        (constant(12, 12), 24, (24, 12, 0)),
        (variable(0, 40, 120, end=160), 25, (4, 1, 0)),
        (variable(0, 5, 120, end=160), 25, (4, 2, 1)),
    ],
)
def test_retiming_counts_what_it_repeats_and_drops(source: Cadence, rate: int, expected: tuple[int, int, int]) -> None:
    done = retime(source, Fraction(rate))
    assert (done.frame_count, done.duplicated, done.dropped) == expected


@given(frames=st.integers(1, 500), source=st.sampled_from(STANDARD_RATES), rate=st.sampled_from(STANDARD_RATES))
def test_frames_in_and_out_add_up(frames: int, source: Fraction, rate: Fraction) -> None:
    done = retime(constant(source, frames), rate)
    assert done.frame_count - done.duplicated == frames - done.dropped
    assert abs(done.frame_count / rate - frames / source) <= 1 / rate
    if rate >= source:
        assert done.dropped == 0


def test_the_longest_hold_counts_the_last_frame_too() -> None:
    assert longest_hold(variable(0, 40, 80, end=5080)) == 5
    assert longest_hold(variable(0, 900_000, 900_040, end=900_080)) == 900
