"""What can be asked of the API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Security
from fastapi.security import HTTPBearer
from pydantic import Field
from rushes_runtime.database import Database
from rushes_schemas import NEEDS_ATTENTION, FailureCode, PreviewStatus, statuses_behind

from rushes_normalizer.api import metrics
from rushes_normalizer.api.access import Caller
from rushes_normalizer.api.answers import PreviewPage, PreviewState, RenormalizeAccepted, RenormalizeWish
from rushes_normalizer.api.asking import RequestSender, request_for
from rushes_normalizer.api.changes import ChangeFollower
from rushes_normalizer.api.event_stream import EventStream, StreamLimits, Streams
from rushes_normalizer.api.guesses import Guesses
from rushes_normalizer.api.history import ChangeHistory, Marker
from rushes_normalizer.api.identity import Identities, shown_token
from rushes_normalizer.api.listing import Looks, Shape, Wanted, find_preview, list_previews
from rushes_normalizer.api.problems import ProblemError, waiting_for
from rushes_normalizer.api.rate_limit import RateLimit
from rushes_normalizer.paging import CURSOR

_CATCH_UP: Final = 5.0  # seconds that a stream waits for this process to come to where others are


@dataclass(frozen=True)
class Api:
    """What the routes work with, in `app.state.api`."""

    database: Database
    identities: Identities
    rate_limit: RateLimit
    guesses: Guesses
    sender: RequestSender
    history: ChangeHistory
    follower: ChangeFollower
    streams: Streams
    stream_limits: StreamLimits
    expose_missing: bool


def api_of(request: Request) -> Api:
    """The parts of the application that a call came to."""
    api: Api = request.app.state.api
    return api


# For the document only: who calls is told by `Identities`.
_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="A token from the list of who may read what.")


async def caller_of(request: Request, _shown: Annotated[object, Security(_bearer)]) -> Caller:
    """Who calls, if they may now.

    Raises:
        ProblemError: 401 or 403, it is nobody who may; 429, too often, or from where tokens are guessed.
    """
    api = api_of(request)
    address = api.identities.address_of(request)
    _unless(api.guesses.wait(address), "too many unknown tokens came from your address")
    try:
        caller = api.identities.identify(request)
    except ProblemError as error:
        if error.status == 401:
            _unless(api.guesses.count(address, shown_token(request)), "too many requests with an unknown token")
        raise
    _unless(api.rate_limit.take(caller.key), "too many requests")
    return caller


def _unless(wait: int, reason: str) -> None:
    """Refuse a call that is to wait for so many seconds."""
    if wait:
        raise ProblemError(429, f"{reason}: come again in {wait} s", {"Retry-After": str(wait)})


ApiOf = Annotated[Api, Depends(api_of)]
CallerOf = Annotated[Caller, Depends(caller_of)]
PreviewId = Annotated[UUID, Field(description="The preview's id.")]
Shown = Annotated[Shape, Query(description="Which of Zou's shapes a preview is shown in.")]
AskedStatus = Annotated[str, Field(json_schema_extra={"enum": ["processing", "ready", "broken"]})]
Project = Annotated[UUID | None, Query(description="Only previews of this project.")]
Limit = Annotated[int, Query(ge=1, le=500, description="Previews of a page.")]
Cursor = Annotated[str | None, Query(pattern=CURSOR, description="The `next_cursor` of the page before.")]

router = APIRouter()


@router.get("/previews", response_model=PreviewPage, summary="Previews by status, newest first, page by page")
async def list_all(
    api: ApiOf,
    caller: CallerOf,
    status: Annotated[list[AskedStatus] | None, Query(max_length=10, description="Any of these; default: all.")] = None,
    project_id: Project = None,
    shape: Shown = Shape.LISTED,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """All previews that the caller may see. Pages lose and repeat nothing while previews come and change."""
    statuses = None if status is None else _meant(api, status, frozenset(PreviewStatus))
    return await _page(api, caller, Wanted(statuses, project_id, limit=limit, cursor=cursor), shape)


@router.get("/previews/needs-attention", response_model=PreviewPage, summary="Previews that are not ready, and why")
async def needs_attention(
    api: ApiOf,
    caller: CallerOf,
    status: Annotated[
        list[AskedStatus] | None, Query(max_length=10, description="Only these of them; `ready` is none.")
    ] = None,
    code: Annotated[FailureCode | None, Query(description="Only previews whose last job failed with it.")] = None,
    older_than_minutes: Annotated[
        float | None, Query(ge=0, le=100_000_000, description="Only previews that were first uploaded before that.")
    ] = None,
    project_id: Project = None,
    shape: Shown = Shape.LISTED,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Previews that somebody should look at, with what their jobs do."""
    statuses = NEEDS_ATTENTION if status is None else _meant(api, status, NEEDS_ATTENTION)
    return await _page(api, caller, Wanted(statuses, project_id, code, older_than_minutes, limit, cursor), shape)


@router.get("/previews/{preview_file_id}", response_model=PreviewState, summary="One preview")
async def get_preview(
    api: ApiOf, caller: CallerOf, preview_file_id: PreviewId, shape: Shown = Shape.FULL
) -> dict[str, Any]:
    """A preview, and how things stand with it. One of a project that the caller may not see is not there: 404."""
    return Looks(shape, api.expose_missing).of(await _found(api, caller, preview_file_id))


@router.post(
    "/previews/{preview_file_id}/renormalize",
    response_model=RenormalizeAccepted,
    status_code=202,
    summary="Ask for a preview's outputs to be made again",
)
async def renormalize(
    api: ApiOf,
    caller: CallerOf,
    preview_file_id: PreviewId,
    wish: RenormalizeWish,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=200,
            pattern=r"^[!-~]+$",
            description="Calls with the same key are one request: the first one counts.",
        ),
    ] = None,
) -> RenormalizeAccepted:
    """Puts the request on the bus. The preview goes on playing while it waits; uploads overtake it."""
    await _found(api, caller, preview_file_id)
    if not caller.may_renormalize:
        raise ProblemError(403, "you may read this preview, and not have it made again")
    asked = request_for(caller, preview_file_id, wish, idempotency_key)
    async with waiting_for("Kafka"):
        await api.sender.send(asked)
    return RenormalizeAccepted(request_id=UUID(asked.event_id), preview_file_id=preview_file_id)


_STREAM_EXAMPLE: Final = (
    'id: 120.88.97\nevent: status-changed\ndata: {"preview_file_id": "7b3e1f52-4f0a-4c8b-9a39-6f6c2f6f5a10", '
    '"version": 4, "status": "broken", "previous_status": "processing", …}\n\n'
)


@router.get(
    "/status-changes",
    response_class=EventStream,
    status_code=200,
    summary="Status changes as they happen, as server-sent events",
    responses={
        200: {
            "description": "Events `status-changed`, whose data are what API consumers may see of the event on the "
            "bus; `reset` tells that something was missed.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAM_EXAMPLE}},
        }
    },
)
async def status_changes(
    request: Request,
    api: ApiOf,
    caller: CallerOf,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID", max_length=10_000, description="The `id` last seen: what came since is sent first."
        ),
    ] = None,
) -> EventStream:
    """A change may come twice: drop what has no newer `version` than the one you hold."""
    if api.streams.is_full(caller):
        raise ProblemError(429, "too many streams are open", {"Retry-After": "30"})
    async with waiting_for("Kafka"):
        await api.follower.caught_up.wait()
    marker = Marker.parse(last_event_id) if last_event_id else None
    seen = marker if marker and await _came_to(api.history, marker) and api.history.holds_since(marker) else None
    lost = bool(last_event_id) and seen is None
    if lost:
        metrics.RESETS.inc()
    return EventStream(
        caller=caller,
        still_allowed=lambda: _is_still(api, request, caller),
        history=api.history,
        streams=api.streams,
        limits=api.stream_limits,
        seen=seen,
        lost=lost,
    )


async def _came_to(history: ChangeHistory, marker: Marker) -> bool:
    """Whether this process comes to where another has been, in a while."""
    try:
        async with asyncio.timeout(_CATCH_UP):
            while not history.reached(marker):
                await history.moved.wait()
    except TimeoutError:
        return False
    return True


def _is_still(api: Api, request: Request, caller: Caller) -> bool:
    try:
        return api.identities.identify(request) == caller
    except ProblemError:
        return False


def _meant(api: Api, asked: list[str], among: frozenset[PreviewStatus]) -> frozenset[str]:
    """The internal statuses that a filter stands for.

    Raises:
        ProblemError: it names one that there is not.
    """
    if unknown := set(asked) - set(PreviewStatus):
        raise ProblemError(422, f"there is no status {', '.join(sorted(unknown))[:200]!r}")
    return statuses_behind(asked, expose_missing=api.expose_missing) & among


async def _page(api: Api, caller: Caller, wanted: Wanted, shape: Shape) -> dict[str, Any]:
    async with waiting_for("PostgreSQL"):
        return await list_previews(api.database, caller, wanted, Looks(shape, api.expose_missing))


async def _found(api: Api, caller: Caller, preview_file_id: UUID) -> Any:
    async with waiting_for("PostgreSQL"):
        row = await find_preview(api.database, caller, preview_file_id)
    if row is None:
        raise ProblemError(404, "there is no such preview, or you may not see it")
    return row
