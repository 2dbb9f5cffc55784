"""The S3 server of a stage, reached past every proxy."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import aioboto3

from tests.faults.stage import Stage


def s3_client(stage: Stage) -> AbstractAsyncContextManager[Any]:
    """A client with all rights."""
    objects = stage.servers.objects
    session = aioboto3.Session(
        aws_access_key_id=objects.access_key_id,
        aws_secret_access_key=objects.secret_access_key,
        region_name="us-east-1",
    )
    client: AbstractAsyncContextManager[Any] = session.client("s3", endpoint_url=objects.endpoint_url)
    return client
