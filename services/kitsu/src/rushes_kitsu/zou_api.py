"""The few calls of Zou's API that reconciliation makes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC
from typing import Any, Final
from uuid import UUID

from aiohttp import ClientError, ClientSession, ClientTimeout
from pydantic import TypeAdapter, ValidationError

from rushes_kitsu.reconciling import ZouState
from rushes_kitsu.settings import KitsuSettings

_SECONDS: Final = 15.0
_STATE: Final = TypeAdapter(ZouState)


class ZouError(Exception):
    """Zou gave no usable answer; the text says what to check."""


class ZouApi:
    """Zou, as a user that may change previews."""

    def __init__(self, session: ClientSession, settings: KitsuSettings) -> None:
        self._session = session
        self._settings = settings

    async def version(self) -> str:
        """Zou's version, by a call that its token must be good for.

        Raises:
            ZouError: no usable answer, or it isn't Zou's.
        """
        told = await self._call("GET", "/")
        if not told or told.get("api") is None or not isinstance(told.get("version"), str):
            raise ZouError("what answers at ZOU_URL is no Zou: its API says its name and version at /")
        await self._call("GET", "/auth/authenticated")
        return str(told["version"])

    async def preview(self, preview_file_id: UUID) -> ZouState | None:
        """What Zou says of a preview; None: it has no such one.

        Raises:
            ZouError: no usable answer.
        """
        found = await self._call("GET", f"/data/preview-files/{preview_file_id}")
        if found is None:
            return None
        try:
            state = _STATE.validate_python(found)
        except ValidationError:
            raise ZouError("Zou (ZOU_URL) gives a preview without the fields that Zou 1.0.97 gives") from None
        naive = state.updated_at  # Zou's times are UTC, and don't say so
        return replace(state, updated_at=naive.replace(tzinfo=UTC)) if naive and naive.tzinfo is None else state

    async def update(self, preview_file_id: UUID, fields: Mapping[str, Any]) -> None:
        """Write fields of a preview's row; one that was deleted meanwhile is no error.

        Raises:
            ZouError: no usable answer.
        """
        await self._call("PUT", f"/data/preview-files/{preview_file_id}", json=dict(fields))

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any] | None:
        """The JSON of an answer; None: there is nothing of that path."""
        address = f"{str(self._settings.zou_url).rstrip('/')}{path}"
        headers = {"Authorization": f"Bearer {self._settings.read_zou_token()}"}
        try:
            async with self._session.request(method, address, headers=headers, **options) as answer:
                if answer.status == 404:
                    return None
                if answer.status in {401, 403, 422}:
                    raise ZouError(
                        f"Zou refuses ZOU_TOKEN ({answer.status}): it has expired, or its user may not change previews"
                    )
                if answer.status != 200:
                    raise ZouError(f"Zou (ZOU_URL) answers {answer.status} to {method} {path}")
                found: dict[str, Any] = await answer.json()
                return found
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            raise ZouError(f"Zou (ZOU_URL) gives no usable answer: {type(error).__name__}") from None


@asynccontextmanager
async def open_zou_api(settings: KitsuSettings) -> AsyncIterator[ZouApi]:
    """Zou's API, for as long as the block runs."""
    async with ClientSession(timeout=ClientTimeout(total=_SECONDS)) as session:
        yield ZouApi(session, settings)
