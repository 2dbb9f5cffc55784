"""An S3 endpoint as its clients see it: two of them, one access key, one window of requests.

obstore (Rust) carries what is asked for by the thousand: the bytes of objects, and what they are. A copy costs it 0.6
ms of processor time where aioboto3 needs 3.1. aioboto3 does the rest, which is rare or which obstore cannot do:
listings by prefix, multipart uploads with a condition and Content-MD5, copies on the server's side, conditional
deletes, buckets.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, NoCredentialsError
from obstore.store import S3Store as Bucket

from rushes_runtime.settings import StoreSettings
from rushes_runtime.store.access_key import make_session
from rushes_runtime.store.answers import answers
from rushes_runtime.store.fast_listing import parse_listings_fast
from rushes_runtime.store.interface import StoreUnavailableError
from rushes_runtime.store.memory import Memory
from rushes_runtime.store.window import Window, insist

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential
    from types_aiobotocore_s3.client import S3Client

Answer = TypeVar("Answer")

_CHAIN_KEY_KEPT: Final = timedelta(minutes=1)  # the session itself renews those that end
_WHOLE_REQUEST: Final = timedelta(days=1)  # obstore would end a long read after 30 s, however well it goes


class Endpoint:
    """Clients of one endpoint. Use it as an async context manager."""

    def __init__(self, settings: StoreSettings) -> None:
        self.name = f"S3 {settings.endpoint_url or 'AWS'}"
        self.window = Window(self.name)
        self.memory = Memory()
        self.looks = settings.conditions == "looked_at"
        self._settings = settings
        self._resources = AsyncExitStack()
        self._buckets: dict[tuple[str, float | None, int], Bucket] = {}
        self._chain_key: S3Credential | None = None
        self._session: aioboto3.Session
        self.client: S3Client

    @property
    def address(self) -> tuple[str, str]:
        """What two stores have in common that can copy on the server's side."""
        return (self._settings.endpoint_url or "").rstrip("/").lower(), self._settings.region

    async def __aenter__(self) -> Endpoint:
        settings = self._settings
        self._session = make_session(settings)
        parse_listings_fast(self._session)
        config = AioConfig(
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            retries={"mode": "standard", "total_max_attempts": 1},  # `ask` asks again
            max_pool_connections=64,
            # A part is signed by its Content-MD5; no second digest is made of it for the signature alone.
            s3={
                "addressing_style": "path" if settings.endpoint_url else "auto",
                "payload_signing_enabled": False,
            },
            # Many S3 servers refuse the newer trailing checksums. All know Content-MD5, which goes with each part.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client = self._session.client("s3", endpoint_url=settings.endpoint_url, config=config)
        self.client = await self._resources.enter_async_context(client)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._resources.aclose()

    def full_name(self, bucket: str) -> str:
        """A bucket with the studio's prefix."""
        return self._settings.bucket_prefix + bucket

    def where(self, bucket: str, key: str) -> str:
        """An object, for people."""
        return f"{self.full_name(bucket)}/{key} at {self.name}"

    async def ask(self, operation: str, bucket: str, key: str, request: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask in the window, and as `insist` does.

        Raises:
            StoreError: as the last try says.
            PreconditionFailedError: the condition of a write did not hold.
        """

        async def once() -> Answer:
            async with self.window.request():
                with answers(operation, self.where(bucket, key), self.name):
                    return await request()

        return await insist(once)

    async def bucket(self, bucket: str, *, patience: float | None = None, retries: int = 0) -> Bucket:
        """A bucket for obstore, which signs with the access key as it is at each request.

        Args:
            bucket: without the studio's prefix.
            patience: seconds for a whole request with its answer; default: as long as bytes come.
            retries: how often obstore itself asks again.
        """
        if not (self._settings.access_key_id or self._settings.access_key_id_file):
            await self._renew_chain_key()
        which = self.full_name(bucket), patience, retries
        if which not in self._buckets:
            self._buckets[which] = self._open_bucket(*which)
        return self._buckets[which]

    def _open_bucket(self, name: str, patience: float | None, retries: int) -> Bucket:
        settings = self._settings
        whole = timedelta(seconds=min(patience, settings.read_timeout)) if patience else _WHOLE_REQUEST
        options: ClientConfig = {
            "allow_http": True,
            "connect_timeout": timedelta(seconds=settings.connect_timeout),
            "read_timeout": timedelta(seconds=settings.read_timeout),
            "timeout": whole,
        }
        if authorities := os.environ.get("AWS_CA_BUNDLE"):
            options["root_certificate"] = Path(authorities).read_bytes()
        # The server refuses a write that came damaged: by this checksum, or by the one that is signed, which is the
        # same; not all servers know the one (Swift), nor do all enforce the other (SeaweedFS).
        config: S3Config = {
            "region": settings.region,
            "virtual_hosted_style_request": False,
            "checksum_algorithm": "sha256",
        }
        if settings.endpoint_url:
            config["endpoint"] = settings.endpoint_url
        return Bucket(
            name,
            config=config,
            client_options=options,
            retry_config={"max_retries": retries, "retry_timeout": whole},
            credential_provider=self._access_key,
        )

    def _access_key(self) -> S3Credential:
        """What obstore signs with until it ends: then it asks again.

        A key that the settings name does not end. One in files is read for each request. That of the AWS chain, which
        has to be waited for, is the last that was seen, and is taken from here anew each minute.
        """
        now = datetime.now(UTC)
        if key := self._settings.read_access_key():
            fixed = self._settings.access_key_id_file is None and self._settings.secret_access_key_file is None
            return {
                "access_key_id": key[0],
                "secret_access_key": key[1],
                "token": None,
                "expires_at": None if fixed else now,
            }
        assert self._chain_key
        return {**self._chain_key, "expires_at": now + _CHAIN_KEY_KEPT}

    async def _renew_chain_key(self) -> None:
        found: Any = self._session.get_credentials()  # its types say boto3's, which does not wait
        try:
            credentials = await found
            if credentials is None:
                raise NoCredentialsError
            frozen = await credentials.get_frozen_credentials()  # renews those that end
        except (BotoCoreError, OSError) as error:
            raise StoreUnavailableError(f"no access key for {self.name}: {error}") from error
        self._chain_key = {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": None,
        }
