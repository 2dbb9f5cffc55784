"""When frames are shown: constant or variable rate, and what a change of rate does to them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from rushes_normalizer.media.facts import Cadence

_NTSC = tuple(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60))
# The rates that editing systems and players know, slowest first.
STANDARD_RATES: Final = tuple(sorted((*_NTSC, *(Fraction(rate) for rate in (24, 25, 30, 48, 50, 60)))))
_RATE_WITHOUT_ANY_CLUE: Final = Fraction(25)
_SLOWEST: Final = Fraction(1)
_FASTEST: Final = Fraction(1000)
# How far a frame of a constant rate may stand from its place, in frames: nearer to it than to any other's.
_TOLERANCE: Final = Fraction(1, 4)


def cadence(
    timestamps: Sequence[int],
    *,
    last_duration: int | None,
    tick: Fraction,
    declared: Sequence[Fraction],
) -> Cadence:
    """The cadence of frames shown at `timestamps`.

    Args:
        timestamps: in ticks of the container's clock, in any order, one for each frame that is shown; at least one.
        last_duration: ticks that the frame shown last says it stays.
        tick: seconds.
        declared: rates that the container claims, the most trusted first.
    """
    ordered = sorted(timestamps)
    start = ordered[0]
    shown_at = tuple(timestamp - start for timestamp in ordered)
    claims = [rate for rate in declared if _SLOWEST <= rate <= _FASTEST]
    rate = _constant_rate(shown_at, last_duration, tick, claims)
    if rate is not None:
        return Cadence(len(ordered), rate, True, (), 0, tick, start * tick)
    span = shown_at[-1]
    average = Fraction(len(ordered) - 1) / (span * tick) if span else claims[0] if claims else _RATE_WITHOUT_ANY_CLUE
    stay = last_duration or max(1, round(1 / (average * tick)))
    return Cadence(len(ordered), average, False, shown_at, span + stay, tick, start * tick)


def untimed_cadence(frame_count: int, declared: Sequence[Fraction]) -> Cadence:
    """The cadence of frames without timestamps (a bare stream): constant, at the rate that is declared."""
    claims = [rate for rate in declared if _SLOWEST <= rate <= _FASTEST]
    rate = claims[0] if claims else _RATE_WITHOUT_ANY_CLUE
    return Cadence(frame_count, rate, True, (), 0, 1 / rate, Fraction(0))


def _constant_rate(
    shown_at: tuple[int, ...], last_duration: int | None, tick: Fraction, claims: list[Fraction]
) -> Fraction | None:
    if len(shown_at) == 1:
        if last_duration:
            claims = [*claims, 1 / (last_duration * tick)]
        return next(
            (rate for rate in claims if rate in STANDARD_RATES), claims[0] if claims else _RATE_WITHOUT_ANY_CLUE
        )
    if shown_at[-1] == 0:
        return None
    estimate = Fraction(len(shown_at) - 1) / (shown_at[-1] * tick)
    # A container's clock rounds (Matroska's to milliseconds), so the exact rate is one that explains the timestamps
    # to within a tick: a standard one (the nearest to the claim, which a clock of milliseconds may have rounded), else
    # the one claimed, else what they say themselves. Failing that, one of these whose frames all stand nearest to
    # their own place.
    likely = claims[0] if claims else estimate
    standard = sorted(STANDARD_RATES, key=lambda rate: abs(rate - likely))
    known = [rate for rate in (*standard, *claims) if abs(rate - estimate) < estimate / 50]
    own = [rate for rate in (estimate.limit_denominator(1001), estimate) if rate >= _SLOWEST]
    for rate in (*known, *own):
        if _fits(shown_at, tick * rate, min(_TOLERANCE, tick * rate)):
            return rate
    return next((rate for rate in known if _fits(shown_at, tick * rate, _TOLERANCE)), None)


def _fits(shown_at: tuple[int, ...], frames_per_tick: Fraction, tolerance: Fraction) -> bool:
    # |t x frames_per_tick - n| <= tolerance, in integers: a movie has up to half a million frames.
    scale = frames_per_tick.denominator * tolerance.denominator
    step = frames_per_tick.numerator * tolerance.denominator
    bound = tolerance.numerator * frames_per_tick.denominator
    last = len(shown_at) - 1
    if abs(shown_at[last] * step - last * scale) > bound:
        return False
    return all(abs(ticks * step - n * scale) <= bound for n, ticks in enumerate(shown_at))


def output_rate(source: Cadence, wanted: Fraction | None) -> Fraction:
    """Frames a second of the outputs.

    What was asked for; else the source's own rate where it is a standard one; else one that shows each of its
    frames: a constant odd rate (12, 15) takes the first standard rate that is a multiple of it, a faster one (120)
    the first that divides it, any other the first standard rate that is not below the average.
    """
    if wanted is not None:
        return wanted
    rate = source.rate
    if source.constant:
        if rate in STANDARD_RATES:
            return rate
        multiples = [standard for standard in STANDARD_RATES if (standard / rate).denominator == 1]
        if multiples:
            return multiples[0]
        divisors = [standard for standard in STANDARD_RATES if (rate / standard).denominator == 1]
        if divisors:
            return divisors[-1]
    if rate < STANDARD_RATES[0]:
        return Fraction(24)  # not 23.976, which only film transfers have
    # A recording of nominally 25 that averages 25.02 is not one of 29.97.
    above = (standard for standard in STANDARD_RATES if standard * Fraction(201, 200) >= rate)
    return next(above, STANDARD_RATES[-1])


@dataclass(frozen=True)
class Retiming:
    """What a change of rate does: frames out, frames shown more than once, frames not shown at all.

    Attributes:
        frame_count: frames of the output.
        duplicated: output frames that repeat the one before.
        dropped: source frames that no output frame shows.
    """

    frame_count: int
    duplicated: int
    dropped: int


def retime(source: Cadence, rate: Fraction) -> Retiming:
    """What becomes of the source's frames at `rate`.

    Each source frame goes to the nearest output frame, halves up, as ffmpeg's `fps` filter does with
    `round=near`; of several the last one is shown; one stays until the next comes. The output lasts as long as the
    source, so that a last frame which would fall on its very end is not shown: 20 frames at 50 are the 10 even ones
    at 25.
    """
    if source.constant and source.rate == rate:
        return Retiming(source.frame_count, 0, 0)
    if source.constant:
        step = rate / source.rate
        slots = [_nearest(n * step.numerator, step.denominator) for n in range(source.frame_count)]
    else:
        step = source.tick * rate
        slots = [_nearest(ticks * step.numerator, step.denominator) for ticks in source.shown_at]
    length = source.duration * rate
    count = max(1, _nearest(length.numerator, length.denominator))
    shown = len({slot for slot in slots if slot < count})
    return Retiming(count, count - shown, source.frame_count - shown)


def _nearest(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def longest_hold(source: Cadence) -> Fraction:
    """Seconds that the frame which stands longest is shown."""
    if source.constant:
        return 1 / source.rate
    later = (*source.shown_at[1:], source.end)
    return max(after - at for at, after in zip(source.shown_at, later, strict=True)) * source.tick
