"""Errors as API consumers get them: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from rushes_runtime.database import is_away
from starlette.exceptions import HTTPException

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_ANSWER_SECONDS: Final = 10.0  # that a call may wait for PostgreSQL or Kafka
_AGAIN: Final = {"Retry-After": "5"}


class Problem(BaseModel):
    """What went wrong."""

    type: str = Field(description="Always `about:blank`: the status says which kind of problem it is.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status again.")
    detail: str = Field(description="What is wrong with this call, in a sentence.")


class ProblemError(Exception):
    """Answers the call with a problem."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer that says so."""
    shown = Problem(type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(shown.model_dump(), status, headers, MEDIA_TYPE)


@asynccontextmanager
async def waiting_for(server: str) -> AsyncIterator[None]:
    """What a server that is away makes of a call: 503 and a time to come again.

    Raises:
        ProblemError: it is away, or does not answer in time.
    """
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            yield
    except Exception as error:
        if not (is_away(error) or isinstance(error, KafkaError)):
            raise
        log.warning("api_waits_in_vain", server=server, error=repr(error)[:500])
        raise ProblemError(503, f"{server} does not answer now: ask again", _AGAIN) from None


def answer_problems(app: FastAPI) -> None:
    """Let an application say all its errors as problems."""

    async def told(_request: Request, error: ProblemError) -> JSONResponse:
        return problem(error.status, error.detail, error.headers)

    async def refused(_request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, error.detail, error.headers)

    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(422, _sentence(error.errors()))

    async def failed(_request: Request, _error: Exception) -> JSONResponse:
        return problem(500, "this is an error of ours; the log says which")

    app.add_exception_handler(ProblemError, told)  # type: ignore[arg-type]  # starlette wants handlers of any exception
    app.add_exception_handler(HTTPException, refused)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, failed)


def _sentence(errors: Sequence[Any]) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in errors[:5])[:1000]
