"""Who may read what: tokens, which are kept as hashes, and groups of people that a proxy has authenticated."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from rushes_runtime.settings import UnreadableSecretError

from rushes_normalizer.api.settings import ApiSettings

log = structlog.get_logger(__name__)

GrantName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f,]{1,100}$")]


class Grant(BaseModel):
    """What somebody may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: GrantName
    projects: Literal["all"] | frozenset[UUID]  # `all`: also previews that belong to no project
    renormalize: bool = False


class TokenGrant(Grant):
    """What who shows a token may do."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AccessList(BaseModel):
    """All that may be done: the JSON of `API_ACCESS` or its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[TokenGrant, ...] = ()
    groups: tuple[Grant, ...] = ()

    @model_validator(mode="after")
    def _told_apart(self) -> AccessList:
        for grants in (self.tokens, self.groups):
            if len({grant.name for grant in grants}) < len(grants):
                raise ValueError("two tokens, or two groups, have one name")
        return self


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        key: tells callers apart: of a rate limit, of an idempotency key.
        name: as others may read it; stands on requests.
        projects: whose previews may be seen; None: all, and those of no project.
    """

    key: str
    name: str
    projects: frozenset[UUID] | None
    may_renormalize: bool

    def may_see(self, project_id: UUID | None) -> bool:
        """Whether a preview of this project, or of none, is there for the caller."""
        return self.projects is None or project_id in self.projects


class UnreadableAccessError(ValueError):
    """The list of who may do what cannot be used; the text says why, and tells no hash."""


def hash_of(token: str) -> str:
    """What is kept of a token. Tokens are random and long, so that a plain hash cannot be turned back."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_access_list(text: str) -> AccessList:
    """The list that a JSON text describes.

    Raises:
        UnreadableAccessError: it describes none.
    """
    try:
        return AccessList.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in found[:5])
        raise UnreadableAccessError(f"who may use the API cannot be read: {said}") from None


def caller_of_token(access: AccessList, token: str) -> Caller | None:
    """Who shows a token. All hashes are compared, each in constant time: how long it takes tells nothing of any."""
    shown = hash_of(token)
    found = None
    for grant in access.tokens:
        if hmac.compare_digest(grant.sha256, shown):
            found = grant
    return Caller(f"token:{found.name}", found.name, _projects([found]), found.renormalize) if found else None


def caller_in_groups(access: AccessList, user: str, groups: Collection[str]) -> Caller | None:
    """Who a person is that a proxy vouches for: all that any of their groups may. None: none of these is listed."""
    grants = [grant for grant in access.groups if grant.name in groups]
    if not grants:
        return None
    return Caller(f"user:{user}", user, _projects(grants), any(grant.renormalize for grant in grants))


def _projects(grants: Iterable[Grant]) -> frozenset[UUID] | None:
    projects: set[UUID] = set()
    for grant in grants:
        if grant.projects == "all":
            return None
        projects |= grant.projects
    return frozenset(projects)


class CurrentAccess:
    """The list as it is now: what its file says counts from the next call on, without a restart."""

    def __init__(self, settings: ApiSettings) -> None:
        """
        Raises:
            UnreadableAccessError: the list cannot be used.
            UnreadableSecretError: its file cannot be read.
        """
        self._settings = settings
        self._text = settings.read_api_access()
        self._list = read_access_list(self._text)

    def now(self) -> AccessList:
        """The list; while its file cannot be used, the last one that could."""
        try:
            text = self._settings.read_api_access()
            if text != self._text:
                self._list, self._text = read_access_list(text), text
                log.info("api_access_changed", tokens=len(self._list.tokens), groups=len(self._list.groups))
        except (UnreadableSecretError, UnreadableAccessError) as error:
            log.warning("api_access_unreadable", error=str(error))
        return self._list
