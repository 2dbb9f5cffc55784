"""Every limit of a job is a setting, and the defaults of both are the same."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction

import pytest
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.settings import nest_variables

NEEDED = {
    "DATABASE_URL": "postgresql+asyncpg://nobody@localhost/nothing",
    "KAFKA__BOOTSTRAP_SERVERS": "localhost:9092",
    "STORE__KIND": "s3",
}
SETTINGS = {
    "MAX_SOURCE_BYTES": ("max_source_bytes", 7),
    "MAX_PIXELS": ("max_pixels", 7),
    "MAX_DURATION": ("max_duration_seconds", Fraction(7)),
    "MAX_FRAMES": ("max_frames", 7),
    "MAX_STREAMS": ("max_streams", 7),
    "MAX_FRAME_HOLD": ("max_hold_seconds", Fraction(7)),
    "FFMPEG_MEMORY": ("max_memory_bytes", 300_000_000),
    "MAX_OUTPUT_BYTES": ("max_output_bytes", 7_000_000),
    "MAX_CPU_SECONDS": ("max_cpu_seconds", 7),
    "TIMEOUT_FLOOR": ("timeout_floor_seconds", 7.0),
    "TIMEOUT_PER_SECOND": ("timeout_per_second", 7.0),
    "FFMPEG_THREADS": ("threads", 7),
}
OF_THE_ENCODER = "max_side"


def limits(**settings: str) -> Limits:
    return NormalizerSettings(**nest_variables({**NEEDED, **settings})).limits()


@pytest.mark.parametrize("variable", SETTINGS)
def test_a_setting_changes_its_limit_and_no_other(variable: str) -> None:
    name, value = SETTINGS[variable]
    changed = limits(**{variable: str(value)})
    assert {field.name: getattr(changed, field.name) for field in fields(Limits)} == {
        **{field.name: getattr(Limits(), field.name) for field in fields(Limits)},
        name: value,
    }


def test_no_limit_is_out_of_reach_but_the_encoders_own() -> None:
    assert {name for name, _ in SETTINGS.values()} == {field.name for field in fields(Limits)} - {OF_THE_ENCODER}


@pytest.mark.parametrize(
    ("duration", "timeout"), [(None, 100), (Fraction(0), 100), (Fraction(49), 100), (Fraction(60), 120)]
)
def test_the_time_of_a_child_grows_with_its_movie_above_a_floor(duration: Fraction | None, timeout: float) -> None:
    assert Limits(timeout_floor_seconds=100, timeout_per_second=2).timeout(duration) == timeout
