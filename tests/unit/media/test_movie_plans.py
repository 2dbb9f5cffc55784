"""Canvas, rates, bitrates and contact sheet, decided from facts and wishes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.facts import Cadence, ColourTags, SourceFacts
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.plan import MoviePlan, Size, fit, plan_lowdef, plan_movie, plan_tile, tuning_for
from rushes_schemas.encoding import Encoding, X264Preset
from rushes_schemas.failures import FailureCode

from tests.unit.media.source_facts import source


def plan(facts: SourceFacts, encoding: Encoding | None = None, defaults: EncodingDefaults | None = None) -> MoviePlan:
    return plan_movie(facts, encoding or Encoding(), defaults or EncodingDefaults(), Limits())


@pytest.mark.parametrize(
    ("video", "canvas"),
    [
        ({}, Size(1920, 1080)),
        ({"width": 4096, "height": 1716}, Size(2578, 1080)),
        ({"rotation": 90}, Size(608, 1080)),
        ({"rotation": 270}, Size(608, 1080)),
        ({"rotation": 180}, Size(1920, 1080)),
        ({"width": 1440, "sample_aspect": Fraction(4, 3)}, Size(1920, 1080)),
        ({"width": 1440, "sample_aspect": Fraction(4, 3), "rotation": 90}, Size(608, 1080)),
        ({"width": 333, "height": 187}, Size(1924, 1080)),
    ],
)
def test_the_canvas_has_the_displayed_ratio(video: dict[str, Any], canvas: Size) -> None:
    made = plan(source(**video))
    assert made.canvas == canvas
    assert made.picture == canvas  # no bars


@pytest.mark.parametrize(
    ("wish", "canvas", "picture"),
    [
        ({"width": 2048, "height": 858}, Size(2048, 858), Size(1526, 858)),
        ({"width": 1001, "height": 1001}, Size(1002, 1002), Size(1002, 564)),
        ({"width": 1280}, Size(1280, 720), Size(1280, 720)),
        ({"height": 540}, Size(960, 540), Size(960, 540)),
    ],
)
def test_a_wish_sets_the_canvas(wish: dict[str, int], canvas: Size, picture: Size) -> None:
    made = plan(source(), Encoding.model_validate(wish))
    assert (made.canvas, made.picture) == (canvas, picture)


@given(ratio=st.fractions(min_value="1/10", max_value=10), width=st.integers(1, 2000), height=st.integers(1, 2000))
def test_a_picture_fits_its_canvas_and_touches_two_sides(ratio: Fraction, width: int, height: int) -> None:
    canvas = Size(2 * width, 2 * height)
    picture = fit(ratio, canvas)
    assert picture.width == canvas.width or picture.height == canvas.height
    assert 2 <= picture.width <= canvas.width
    assert 2 <= picture.height <= canvas.height
    assert picture.width % 2 == picture.height % 2 == 0


@pytest.mark.parametrize(
    ("canvas", "lowdef"),
    [(Size(1920, 1080), 720), (Size(1920, 804), 536), (Size(1998, 1080), 692), (Size(608, 1080), 2274)],
)
def test_low_definition_is_1280_wide(canvas: Size, lowdef: int) -> None:
    assert plan_lowdef(canvas, 1280) == Size(1280, lowdef)


@pytest.mark.parametrize(
    ("frames", "rows", "every"),
    [(1, 1, 1), (8, 1, 1), (9, 2, 1), (3840, 480, 1), (3841, 480, 2), (7680, 480, 2), (7681, 480, 3)],
)
def test_the_contact_sheet_follows_the_players_rule(frames: int, rows: int, every: int) -> None:
    grid = plan_tile(frames, Fraction(16, 9))
    assert (grid.columns, grid.rows, grid.every, grid.cell) == (8, rows, every, Size(178, 100))


def test_bitrates_are_target_and_cap_with_two_seconds_of_buffer() -> None:
    made = plan(source())
    assert made.highdef is not None
    assert made.lowdef is not None
    assert (made.highdef.bits_per_second, made.highdef.vbv_bits) == (28_000_000, 56_000_000)
    assert (made.lowdef.bits_per_second, made.lowdef.vbv_bits) == (6_000_000, 12_000_000)
    asked = plan(source(), Encoding(highdef_bitrate="10M", lowdef_bitrate="800k", vbv_bufsize_factor=1.5))
    assert asked.highdef is not None
    assert asked.lowdef is not None
    assert (asked.highdef.vbv_bits, asked.lowdef.vbv_bits) == (15_000_000, 1_200_000)


@pytest.mark.parametrize(
    ("width", "height", "rate", "bits", "preset"),
    [
        (1920, 1080, 25, 28_000_000, X264Preset.ULTRAFAST),
        (1920, 1080, 50, 28_000_000, X264Preset.SUPERFAST),
        (3840, 2160, 25, 28_000_000, X264Preset.SUPERFAST),
        (1280, 720, 25, 6_000_000, X264Preset.SUPERFAST),
        (1280, 720, 25, 28_000_000, X264Preset.ULTRAFAST),
    ],
)
def test_the_fewer_bits_a_pixel_gets_the_more_care_they_need(
    width: int, height: int, rate: int, bits: int, preset: X264Preset
) -> None:
    assert tuning_for(Size(width, height), bits, Fraction(rate)).preset is preset


def test_a_preset_is_used_plainly_and_the_tuning_otherwise() -> None:
    tuned, plain = plan(source()).lowdef, plan(source(), Encoding(preset=X264Preset.SLOW)).lowdef
    assert tuned is not None
    assert plain is not None
    assert (plain.preset, plain.parameters) == (X264Preset.SLOW, "keyint=2:scenecut=0")
    assert tuned.parameters.startswith("keyint=2:scenecut=0:bframes=0")


def test_a_wish_for_a_rate_wins_over_the_service_and_the_source() -> None:
    film = source(rate=Fraction(24000, 1001))
    assert plan(film).rate == Fraction(24000, 1001)
    assert plan(film, defaults=EncodingDefaults(fps=Fraction(25))).rate == 25
    assert plan(film, Encoding(fps="30"), EncodingDefaults(fps=Fraction(25))).rate == 30


def test_skipped_outputs_are_not_planned() -> None:
    assert plan(source(), Encoding(skip_highdef=True)).highdef is None
    as_it_came = plan(source(width=1280, height=720), Encoding(skip_normalization=True))
    assert (as_it_came.highdef, as_it_came.lowdef, as_it_came.canvas) == (None, None, Size(1280, 720))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (source(frames=400_000), "lasts 16000 s"),
        (source(frames=310_000, rate=Fraction(60)), "310000 frames"),
        (source(width=16000, height=100), "172800x1080"),
        (source(cadence=Cadence(3, Fraction(1, 900), False, (0, 900, 1800), 1801, Fraction(1), Fraction(0))), "900 s"),
        (source(frames=14_000, rate=Fraction(1)), "336000 frames"),
    ],
)
def test_what_would_be_too_much_is_refused(facts: SourceFacts, words: str) -> None:
    with pytest.raises(MediaError) as caught:
        plan_movie(facts, Encoding(), EncodingDefaults(), Limits(max_frames=300_000))
    assert caught.value.code is FailureCode.LIMITS_EXCEEDED
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("video", "matrix", "alpha"),
    [
        ({"colour": ColourTags("bt709", None, None, None)}, "bt709", False),
        ({"colour": ColourTags("bt470bg", None, None, None)}, "smpte170m", False),
        ({"colour": ColourTags(None, None, None, None)}, "bt709", False),
        ({"colour": ColourTags(None, None, None, None), "width": 720, "height": 576}, "smpte170m", False),
        ({"pixel_format": "gbrp"}, None, False),
        ({"pixel_format": "rgba"}, None, True),
        ({"pixel_format": "yuva444p12le"}, "bt709", True),
        ({"pixel_format": None, "codec": "png"}, None, True),
    ],
)
def test_samples_are_read_by_their_tags_or_as_players_do(
    video: dict[str, Any], matrix: str | None, alpha: bool
) -> None:
    colour = plan(source(**video)).colour
    assert (colour.matrix, colour.alpha) == (matrix, alpha)
