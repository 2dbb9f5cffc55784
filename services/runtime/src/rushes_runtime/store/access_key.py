"""The access key of an S3 endpoint, from settings or from files that are read anew for each request."""

from __future__ import annotations

from functools import cache

import aioboto3
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.credentials import CredentialProvider, ReadOnlyCredentials
from botocore.loaders import Loader

from rushes_runtime.settings import StoreSettings


class _Key(AioCredentials):
    """What signs each request: the key as it is at that moment."""

    def __init__(self, settings: StoreSettings) -> None:
        super().__init__("", "")
        self._settings = settings

    async def get_frozen_credentials(  # type: ignore[override]  # the types are botocore's, which does not wait
        self,
    ) -> ReadOnlyCredentials:
        key = self._settings.read_access_key()
        assert key
        return ReadOnlyCredentials(*key, None)


class _Provider(CredentialProvider):
    """Stands before the AWS credential chain."""

    METHOD = "rushes"
    CANONICAL_NAME = "Rushes"

    def __init__(self, settings: StoreSettings) -> None:
        super().__init__()
        self._settings = settings

    async def load(self) -> AioCredentials | None:
        return _Key(self._settings) if self._settings.read_access_key() else None


@cache
def _loader() -> Loader:
    """What is known of AWS's services: read once, for all stores of a process. It takes 12 MB."""
    return Loader()


def make_session(settings: StoreSettings) -> aioboto3.Session:
    """A session that signs with the key of the settings, or without one by the AWS credential chain."""
    session = AioSession()
    session.register_component("data_loader", _loader())
    session.get_component("credential_provider").insert_before("env", _Provider(settings))
    return aioboto3.Session(botocore_session=session, region_name=settings.region)
