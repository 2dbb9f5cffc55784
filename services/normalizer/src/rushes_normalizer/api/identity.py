"""Who makes a call: by a token, or by the word of a proxy that is trusted."""

from __future__ import annotations

from ipaddress import ip_address

from fastapi import Request

from rushes_normalizer.api.access import AccessList, Caller, CurrentAccess, caller_in_groups, caller_of_token
from rushes_normalizer.api.guesses import Address
from rushes_normalizer.api.problems import ProblemError
from rushes_normalizer.api.settings import ApiSettings

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Identities:
    """Tells who makes a call."""

    def __init__(self, settings: ApiSettings) -> None:
        """
        Raises:
            UnreadableAccessError: the list of who may do what cannot be used.
            UnreadableSecretError: its file cannot be read.
        """
        self._access = CurrentAccess(settings)
        self._proxies = settings.proxies()
        self._user_header = settings.api_proxy_user_header
        self._groups_header = settings.api_proxy_groups_header

    def identify(self, request: Request) -> Caller:
        """Who calls. A proxy's word counts for more than a token, which it may have been given for itself.

        Raises:
            ProblemError: 401, nobody who is known; 403, a person who may see nothing here.
        """
        access = self._access.now()
        user = self._proxied_user(request)
        if user is not None:
            return self._of_proxy(access, user, request)
        caller = caller_of_token(access, shown_token(request))
        if caller is None:
            raise ProblemError(401, "show a token that is known here: Authorization: Bearer …", _CHALLENGE)
        return caller

    def address_of(self, request: Request) -> Address:
        """Where a call comes from; of one by trusted proxies, the last in `X-Forwarded-For` that is none of them."""
        address = _peer(request)
        hops = [each for value in self._values(request, "X-Forwarded-For") for each in value.split(",")]
        while hops and self._is_proxy(address):
            try:
                address = _address(hops.pop())
            except ValueError:
                break
        return address

    def _of_proxy(self, access: AccessList, user: str, request: Request) -> Caller:
        groups = {each.strip() for value in self._values(request, self._groups_header) for each in value.split(",")}
        caller = caller_in_groups(access, user, groups)
        if caller is None:
            raise ProblemError(403, "none of your groups may use this API")
        return caller

    def _proxied_user(self, request: Request) -> str | None:
        """Whom a trusted proxy names; from anybody else its header is only a header."""
        if not self._is_proxy(_peer(request)):
            return None
        users = self._values(request, self._user_header)
        if len(users) > 1:
            raise ProblemError(401, f"the header {self._user_header} came more than once", _CHALLENGE)
        return users[0] if users and users[0] else None

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)

    @staticmethod
    def _values(request: Request, header: str | None) -> list[str]:
        return request.headers.getlist(header) if header else []


def shown_token(request: Request) -> str:
    """The token that a call shows, or nothing."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _peer(request: Request) -> Address:
    assert request.client, "calls come by TCP"
    return _address(request.client.host)


def _address(text: str) -> Address:
    address = ip_address(text.strip())
    return getattr(address, "ipv4_mapped", None) or address
