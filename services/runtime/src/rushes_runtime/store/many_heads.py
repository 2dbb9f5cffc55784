"""Which of many objects an S3 endpoint lacks, by obstore.

A second client beside aioboto3, for this question alone: one HEAD costs 0.1 ms of processor time instead of 1.2, and a
pass over thousands of lost sources is little else. A HEAD has a positive answer for each key; a listing would be
cheaper where a large part of a bucket is asked for, but it grows with the bucket, and says "absent" by leaving out.

It is asked from threads, which wait outside of Python: as a coroutine each HEAD wakes the event loop and three threads
of obstore's, and costs twice as much.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aioboto3
import obstore
from botocore.exceptions import BotoCoreError, NoCredentialsError
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from rushes_runtime import metrics
from rushes_runtime.settings import StoreSettings
from rushes_runtime.store.interface import StoreDeniedError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential

_AT_ONCE: Final = 16  # for one question
_QUESTIONS_AT_ONCE: Final = 2
# A thread cannot be cancelled, and a process waits for its threads before it exits: for twice as long at most.
_PATIENCE: Final = 10.0  # seconds
_CREDENTIALS_KEPT: Final = timedelta(minutes=1)  # the session itself renews those that end


class _Looks:
    """What is left of one question, shared by the threads that answer it."""

    def __init__(self, store: S3Store, keys: Collection[str]) -> None:
        self._store = store
        self._left: Iterator[str] = iter(list(keys))
        self.given_up = False

    def look(self) -> list[str]:
        """Look for what is left, one key after the other; those that are absent."""
        absent = []
        for key in self._left:
            if self.given_up:
                break
            try:
                obstore.head(self._store, key)
            except FileNotFoundError:
                absent.append(key)
        return absent


class ManyHeads:
    """HEAD requests to one endpoint, many at once, signed with the credentials of an aioboto3 session."""

    def __init__(self, settings: StoreSettings, session: aioboto3.Session) -> None:
        self._settings = settings
        self._session = session
        self._buckets: dict[str, S3Store] = {}
        self._signs_with: S3Credential | None = None
        self._threads = ThreadPoolExecutor(_AT_ONCE * _QUESTIONS_AT_ONCE, thread_name_prefix="heads")

    def close(self) -> None:
        """Let the threads go, without waiting for what they look at."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def absent(self, bucket: str, keys: Collection[str]) -> frozenset[str]:
        """As `Store.absent`. Cancelled, it leaves each thread to the end of its present HEAD.

        Args:
            bucket: its full name.
        """
        looks = _Looks(self._bucket(bucket), keys)
        loop = asyncio.get_running_loop()
        try:
            self._signs_with = await self._credentials()
            found = await asyncio.gather(
                *(loop.run_in_executor(self._threads, looks.look) for _ in range(min(_AT_ONCE, len(keys))))
            )
        except Exception as error:
            raise _answer(error, f"stat in {bucket}") from None
        finally:
            looks.given_up = True
        metrics.STORE_OPERATIONS.labels("stat", "ok").inc(len(keys))
        return frozenset(key for absent in found for key in absent)

    def _bucket(self, bucket: str) -> S3Store:
        if bucket not in self._buckets:
            settings = self._settings
            patience = timedelta(seconds=min(_PATIENCE, settings.read_timeout))
            options: ClientConfig = {
                "allow_http": True,
                "connect_timeout": timedelta(seconds=settings.connect_timeout),
                "timeout": patience,
            }
            if authorities := os.environ.get("AWS_CA_BUNDLE"):
                options["root_certificate"] = Path(authorities).read_bytes()
            config: S3Config = {"region": settings.region, "virtual_hosted_style_request": False}
            if settings.endpoint_url:
                config["endpoint"] = settings.endpoint_url
            self._buckets[bucket] = S3Store(
                bucket,
                config=config,
                client_options=options,
                retry_config={"max_retries": 2, "retry_timeout": patience},
                credential_provider=self._latest_credentials,
            )
        return self._buckets[bucket]

    def _latest_credentials(self) -> S3Credential:
        """For a thread, which cannot wait for the session: those of the last question."""
        assert self._signs_with
        return self._signs_with

    async def _credentials(self) -> S3Credential:
        found: Any = self._session.get_credentials()  # its types say boto3's, which does not wait
        credentials = await found
        if credentials is None:
            raise NoCredentialsError
        frozen = await credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIALS_KEPT,
        }


def _answer(error: Exception, where: str) -> Exception:
    """What the client says as one of the store's answers."""
    sentence = f"{where}: {error}".partition("\n")[0]
    answer: StoreError
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        answer, outcome = StoreDeniedError(sentence), "denied"
    elif isinstance(error, BaseError | BotoCoreError | OSError):
        answer, outcome = StoreUnavailableError(sentence), "error"
    else:
        return error
    metrics.STORE_OPERATIONS.labels("stat", outcome).inc()
    return answer
