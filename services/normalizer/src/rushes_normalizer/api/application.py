"""The web application: its routes, its errors, and the document that describes both."""

from __future__ import annotations

import json
import time
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rushes_normalizer.api import metrics
from rushes_normalizer.api.problems import MEDIA_TYPE, Problem, answer_problems
from rushes_normalizer.api.routes import Api, router

log = structlog.get_logger(__name__)

VERSION: Final = "1.0"
_SAFE: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_PROBLEMS: Final = {
    400: "The body is no text in UTF-8.",
    401: "Nobody who is known.",
    403: "Known, and not allowed to do this.",
    404: "There is none, or it may not be seen.",
    413: "The body is too large.",
    422: "The call is wrong.",
    429: "Too often, or too many unknown tokens came from the same address: come again after `Retry-After` seconds.",
    503: "PostgreSQL or Kafka does not answer: come again after `Retry-After` seconds.",
}
_OURS: Final = ("500", "503")
_OF_ONE: Final = frozenset({404})  # said only where a preview is named
_WITH_BODY: Final = frozenset({400, 413})
_DESCRIPTION: Final = """\
Previews as Rushes knows them. Statuses are as API consumers may see them. A caller sees the previews of their projects,
and no others. Errors are `application/problem+json`.

Beside tokens, a proxy that authenticates people may be trusted: docs/api.md."""


def make_application(api: Api | None, *, expose_missing: bool) -> FastAPI:
    """The application.

    Args:
        api: what it works with; None: it only describes itself.
    """
    app = FastAPI(
        title="Rushes",
        version=VERSION,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.api = api
    app.include_router(router)
    answer_problems(app)
    describe = app.openapi

    def described() -> dict[str, Any]:
        if not app.openapi_schema:
            document = describe()
            _describe_problems(document)
            _leave_out_null(document)
            if expose_missing:
                _add_missing(document)
        return app.openapi_schema or {}

    app.openapi = described  # type: ignore[method-assign]  # the way that FastAPI documents
    return app


def openapi_text() -> str:
    """The document of the API as it is by default, as the text of its file."""
    document = make_application(None, expose_missing=False).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def measured(app: ASGIApp) -> ASGIApp:
    """The application with metrics of each call, and headers that each answer has."""
    for route in router.routes:
        for status in _OURS:  # from 0 on: `increase` misses the first of what was not there
            metrics.REQUESTS.labels(route.name, status)  # type: ignore[attr-defined]  # all of them are APIRoutes

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.monotonic()

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                operation = _operation(scope)
                metrics.REQUESTS.labels(operation, str(message["status"])).inc()
                metrics.REQUEST_SECONDS.labels(operation).observe(time.monotonic() - begun)
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in _SAFE if each[0] not in given)]
            await send(message)

        try:
            await app(scope, receive, send_measured)
        except Exception as error:
            # It was answered with 500.
            log.error("api_failed", operation=_operation(scope), error=repr(error)[:500], exc_info=error)

    return serve


def _operation(scope: MutableMapping[str, Any]) -> str:
    return getattr(scope.get("route"), "name", "other")


def _describe_problems(document: dict[str, Any]) -> None:
    """Say of each operation which problems it answers with."""
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            left_out = (frozenset() if "{" in path else _OF_ONE) | (
                frozenset() if "requestBody" in operation else _WITH_BODY
            )
            for status, description in _PROBLEMS.items():
                operation["responses"].pop(str(status), None)
                if status not in left_out:
                    operation["responses"][str(status)] = {"description": description, "content": content}


def _leave_out_null(document: dict[str, Any]) -> None:
    """A parameter is left out, and never null: a query and a header are texts."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                schema = parameter["schema"]
                if "anyOf" in schema:
                    (kind,) = (each for each in schema.pop("anyOf") if each != {"type": "null"})
                    parameter["schema"] = {**kind, **schema}


def _add_missing(value: Any) -> None:
    """With EXPOSE_MISSING on, a filter may name `missing`, too."""
    if isinstance(value, dict):
        if value.get("enum") == ["processing", "ready", "broken"]:
            value["enum"] = [*value["enum"], "missing"]
        for each in value.values():
            _add_missing(each)
    elif isinstance(value, list):
        for each in value:
            _add_missing(each)
