"""Tokens that nobody has: how many of them an address may show."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import structlog

from rushes_normalizer.api.access import hash_of
from rushes_normalizer.api.rate_limit import RateLimit

log = structlog.get_logger(__name__)

Address = IPv4Address | IPv6Address


class Guesses:
    """Ends the guessing of tokens.

    Who guesses shows another one each time. Whose token was taken back shows that one again and again: it counts once,
    so that nobody else who calls from the same address is kept out.
    """

    def __init__(self, tokens: RateLimit, calls: RateLimit) -> None:
        """
        Args:
            tokens: different ones of an address.
            calls: those with one and the same token of an address.
        """
        self._tokens = tokens
        self._calls = calls

    def wait(self, address: Address) -> int:
        """Seconds for which no call from this address is looked at; 0: it may call."""
        return self._tokens.wait(_network(address))

    def count(self, address: Address, token: str) -> int:
        """Count a call with a token that nobody has: 0, or seconds after which it may come again."""
        network = _network(address)
        called = f"{network} {hash_of(token)}"
        if called not in self._calls:
            self._tokens.take(network)
            if wait := self._tokens.wait(network):
                log.warning("api_tokens_guessed", address=network, wait=wait)
        return self._calls.take(called)


def _network(address: Address) -> str:
    """What one host has: of IPv6 the whole network of 64 bits."""
    return str(address) if address.version == 4 else f"{IPv6Address(int(address) >> 64 << 64)}/64"
