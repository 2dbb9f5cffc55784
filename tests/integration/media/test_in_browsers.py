"""What a reviewer sees: outputs opened in Chromium and Firefox, frames read back from a canvas.

Everything is looked at in one visit of each browser (`seen`); the tests ask what it saw.
"""

from __future__ import annotations

import asyncio
import json
import queue
import random
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pytest
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_schemas.encoding import Encoding
from rushes_schemas.outputs import ObjectKind

from tests.browsers import Browser
from tests.media_server import MediaServer, serving
from tests.movies import make, movie, of

pytestmark = pytest.mark.extended

PAGE: Final = Path(__file__).with_name("review_player.html")
FRAMES: Final = 200
STEPS_FROM: Final = FRAMES // 2
STEPS: Final = 50
SECONDS_TO_LOOK: Final = 120
DEFAULTS: Final = EncodingDefaults(height=180, lowdef_width=160, highdef_bitrate="4M", lowdef_bitrate="2M")
# How many frames are looked at, at random, of each movie: in their middle, and just after their start.
LOOKS: Final = {"chromium": {"middles": 50, "starts": 50}, "firefox": {"middles": 20, "starts": 20}}


@dataclass(frozen=True)
class Shown:
    """An output that the browsers open."""

    name: str
    kind: ObjectKind
    rate: Fraction
    encoding: Encoding
    size: tuple[int, int]

    @property
    def key(self) -> str:
        """Its name among the movies of one visit."""
        return f"{self.name}, {'high' if self.kind is ObjectKind.HIGH_DEFINITION else 'low'} definition"

    def middle_of(self, number: int) -> float:
        """The time in the middle of a frame."""
        return float((number + Fraction(1, 2)) / self.rate)

    def start_of(self, number: int) -> float:
        """A millisecond after a frame's start: players stay clear of the border itself, which no float hits."""
        return float(number / self.rate + Fraction(1, 1000))


MOVIES: Final = [
    Shown(name, kind, Fraction(rate), encoding, size)
    for name, rate, encoding in (
        ("23.976", "24000/1001", Encoding()),
        ("25, preset medium", "25", Encoding(preset="medium")),  # with B-frames, so with an edit list
    )
    for kind, size in ((ObjectKind.HIGH_DEFINITION, (320, 180)), (ObjectKind.LOW_DEFINITION, (160, 90)))
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Both movies of each source."""
    folder = tmp_path_factory.mktemp("shown")
    made = {}
    for shown in MOVIES:
        if shown.name not in made:
            source = folder / f"{shown.name}.mp4"
            movie(source, "-c:v", "libx264", "-bf", "3", "-crf", "10", frames=FRAMES, rate=str(shown.rate))
            made[shown.name] = asyncio.run(make(source, encoding=shown.encoding, defaults=DEFAULTS))
    return {shown.key: of(made[shown.name], shown.kind).read_bytes() for shown in MOVIES}


@pytest.fixture(scope="module")
def seen(browser: Browser, outputs: dict[str, bytes]) -> dict[str, Any]:
    """What a browser saw of each movie."""
    with serving() as server:
        server.files["/player.html"] = PAGE.read_bytes()
        tasks = {}
        for number, shown in enumerate(MOVIES):
            server.files[f"/{number}.mp4"] = content = outputs[shown.key]
            tasks[shown.key] = task_of(shown, f"/{number}.mp4", content, browser)
        server.files["/movies.json"] = json.dumps(tasks).encode()
        report: dict[str, Any] = report_of(browser, server)
        return report


def report_of(browser: Browser, server: MediaServer) -> Any:
    deadline = time.monotonic() + SECONDS_TO_LOOK
    with browser.opened(server.url("/player.html")) as opened:
        while time.monotonic() < deadline:
            try:
                return server.reports.get(timeout=0.5)
            except queue.Empty:
                complaint = opened.complaint()
                assert complaint is None, f"{browser.name} {complaint}"
        pytest.fail(f"{browser.name} did not look at all movies in {SECONDS_TO_LOOK} s: {opened.said()}")


def numbers_to_look_at(browser: Browser) -> dict[str, list[int]]:
    """Random frames, each once: a seek to the frame that stands there already would present nothing."""
    looks = LOOKS[browser.name]
    drawn = random.Random(4).sample(sorted(set(range(1, FRAMES - 1)) - {STEPS_FROM}), k=sum(looks.values()))
    return {"middles": drawn[: looks["middles"]], "starts": drawn[looks["middles"] :]}


def task_of(shown: Shown, url: str, content: bytes, browser: Browser) -> dict[str, object]:
    numbers = numbers_to_look_at(browser)
    step = float(1 / shown.rate)
    return {
        "url": url,
        "type": f'video/mp4; codecs="{h264_name(content)}, mp4a.40.2"',
        "moves": {
            "middles": [{"to": shown.middle_of(number)} for number in numbers["middles"]],
            "starts": [{"to": shown.start_of(number)} for number in numbers["starts"]],
            "steps": [{"to": shown.middle_of(STEPS_FROM)}, *[{"by": step}] * STEPS, *[{"by": -step}] * STEPS],
            "ends": [{"to": shown.middle_of(number)} for number in (0, FRAMES - 1)],
        },
        "playFrom": shown.middle_of(FRAMES - 8),
        "last": FRAMES - 1,
    }


def h264_name(content: bytes) -> str:
    """The name of a movie's H.264 by its profile, constraints and level (RFC 6381, 3.3)."""
    at = content.index(b"avcC") + 5
    return f"avc1.{content[at : at + 3].hex()}"


@pytest.fixture(params=MOVIES, ids=lambda shown: shown.key)
def shown(request: pytest.FixtureRequest) -> Shown:
    """Each movie in turn."""
    chosen: Shown = request.param
    return chosen


@pytest.fixture
def look(seen: dict[str, Any], shown: Shown) -> dict[str, Any]:
    """What the browser saw of this movie; it met no error."""
    found: dict[str, Any] = seen[shown.key]
    assert found["error"] is None
    return found


def test_the_movie_is_high_profile_and_of_the_planned_size_and_duration(
    shown: Shown, look: dict[str, Any], outputs: dict[str, bytes]
) -> None:
    assert h264_name(outputs[shown.key]).startswith("avc1.64")
    assert look["canPlayType"] == "probably"
    assert (look["width"], look["height"]) == shown.size
    assert look["duration"] == pytest.approx(float(FRAMES / shown.rate), abs=0.022)  # AAC comes in frames of 21.3 ms


@pytest.mark.parametrize("moves", ["middles", "starts"])
def test_a_seek_to_a_random_frame_shows_that_frame(browser: Browser, look: dict[str, Any], moves: str) -> None:
    assert look["moves"][moves] == numbers_to_look_at(browser)[moves]


def test_steps_forward_and_back_show_each_frame_in_its_turn(look: dict[str, Any]) -> None:
    forward = list(range(STEPS_FROM, STEPS_FROM + STEPS + 1))
    assert look["moves"]["steps"] == forward + forward[-2::-1]


def test_the_first_and_the_last_frame_can_be_reached(look: dict[str, Any]) -> None:
    assert look["moves"]["ends"] == [0, FRAMES - 1]


def test_playing_goes_to_the_end_and_stands_on_the_last_frame(look: dict[str, Any]) -> None:
    assert look["lastPlayed"] == FRAMES - 1
