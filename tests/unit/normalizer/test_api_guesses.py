"""How many tokens an address may try."""

from __future__ import annotations

from ipaddress import ip_address

from rushes_normalizer.api.guesses import Guesses
from rushes_normalizer.api.rate_limit import RateLimit

from tests.unit.normalizer.test_api_rate_limit import Clock

HERE, ELSEWHERE = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def _guesses(clock: Clock) -> Guesses:
    return Guesses(RateLimit(3, 3, clock), RateLimit(60, 5, clock))


def test_an_address_that_shows_another_token_each_time_is_not_looked_at_any_more() -> None:
    clock = Clock()
    guesses = _guesses(clock)
    for number in range(3):
        assert guesses.wait(HERE) == 0
        assert guesses.count(HERE, f"guess {number}") == 0
    assert guesses.wait(HERE) == 20
    assert guesses.wait(ELSEWHERE) == 0
    clock.now += 20
    assert guesses.wait(HERE) == 0, "one more"
    guesses.count(HERE, "guess 3")
    assert guesses.wait(HERE) == 20


def test_the_same_token_again_keeps_nobody_out_and_is_answered_less_and_less() -> None:
    clock = Clock()
    guesses = _guesses(clock)
    answers = []
    for _ in range(7):
        answers.append(guesses.count(HERE, "taken back"))
        assert guesses.wait(HERE) == 0
    assert answers == [0] * 5 + [1, 1]
    assert guesses.count(HERE, "another that was taken back") == 0
    assert guesses.count(ELSEWHERE, "taken back") == 0, "counted for each address"


def test_a_host_has_one_address_however_many_of_ipv6_it_takes() -> None:
    guesses = _guesses(Clock())
    for number in range(3):
        guesses.count(ip_address(f"2001:db8::{number}"), f"guess {number}")
    assert guesses.wait(ip_address("2001:db8::ffff:1:2:3")) > 0
    assert guesses.wait(ip_address("2001:db8:0:1::")) == 0


def test_what_is_remembered_has_a_bound() -> None:
    guesses = _guesses(Clock())
    for number in range(3):
        guesses.count(HERE, f"guess {number}")
    for number in range(9_999):
        guesses.count(ip_address(number), "guess")
    assert guesses.wait(HERE) > 0
    guesses.count(ip_address(9_999), "guess")
    assert guesses.wait(HERE) == 0, "the first of ten thousand addresses is forgotten"
