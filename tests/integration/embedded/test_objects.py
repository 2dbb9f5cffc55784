from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import aioboto3
import psutil
import pytest
from botocore.exceptions import ClientError
from rushes_embedded.leash import StartError
from rushes_embedded.objects import REGION, Identity, Objects

from tests.integration.embedded.deadline import is_gone

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Objects]:
    folder = tmp_path_factory.mktemp("objects")
    server = Objects(folder / "objects", log=folder / "log")
    server.start()
    yield server
    server.discard()


def _client(server: Objects, identity: Identity) -> "AbstractAsyncContextManager[S3Client]":
    session = aioboto3.Session(identity.access_key_id, identity.secret_access_key, region_name=REGION)
    return session.client("s3", endpoint_url=server.endpoint_url)


@pytest.fixture
async def owner(objects: Objects) -> "AsyncIterator[S3Client]":
    async with _client(objects, objects.owner) as client:
        yield client


@pytest.fixture
async def bucket(owner: "S3Client", request: pytest.FixtureRequest) -> str:
    name = request.node.originalname.replace("_", "-")[:60].rstrip("-")
    await owner.create_bucket(Bucket=name)
    return str(name)


def _status(refusal: pytest.ExceptionInfo[ClientError]) -> int:
    return refusal.value.response["ResponseMetadata"]["HTTPStatusCode"]


async def test_it_starts_with_no_bucket(tmp_path: Path) -> None:
    server = Objects(tmp_path / "objects", log=tmp_path / "log")
    server.start()
    try:
        async with _client(server, server.owner) as client:
            assert (await client.list_buckets())["Buckets"] == []
    finally:
        server.discard()


async def test_an_object_comes_back_as_it_was_put(owner: "S3Client", bucket: str) -> None:
    body = bytes(range(256)) * 40_000  # 10 MB: more than one of its chunks
    await owner.put_object(Bucket=bucket, Key="a/b", Body=body)
    answer = await owner.get_object(Bucket=bucket, Key="a/b")
    assert await answer["Body"].read() == body


async def test_if_none_match_refuses_to_overwrite(owner: "S3Client", bucket: str) -> None:
    await owner.put_object(Bucket=bucket, Key="key", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as refusal:
        await owner.put_object(Bucket=bucket, Key="key", Body=b"second", IfNoneMatch="*")
    assert _status(refusal) == 412
    answer = await owner.get_object(Bucket=bucket, Key="key")
    assert await answer["Body"].read() == b"first"


async def test_if_match_refuses_another_version(owner: "S3Client", bucket: str) -> None:
    first = await owner.put_object(Bucket=bucket, Key="key", Body=b"first")
    await owner.put_object(Bucket=bucket, Key="key", Body=b"second", IfMatch=first["ETag"])
    with pytest.raises(ClientError) as refusal:
        await owner.put_object(Bucket=bucket, Key="key", Body=b"third", IfMatch=first["ETag"])
    assert _status(refusal) == 412


async def test_a_missing_key_is_not_found(owner: "S3Client", bucket: str) -> None:
    with pytest.raises(ClientError) as refusal:
        await owner.head_object(Bucket=bucket, Key="missing")
    assert _status(refusal) == 404


async def test_a_missing_bucket_is_not_made_by_writing(owner: "S3Client") -> None:
    with pytest.raises(ClientError) as refusal:
        await owner.put_object(Bucket="never-made", Key="key", Body=b"")
    assert refusal.value.response["Error"]["Code"] == "NoSuchBucket"


async def test_a_reader_gets_what_it_can_name_and_no_more(objects: Objects, owner: "S3Client", bucket: str) -> None:
    await owner.put_object(Bucket=bucket, Key="key", Body=b"body")
    async with _client(objects, objects.reader) as reader:
        assert await (await reader.get_object(Bucket=bucket, Key="key"))["Body"].read() == b"body"
        for refused in (
            reader.list_objects_v2(Bucket=bucket),
            reader.put_object(Bucket=bucket, Key="key", Body=b""),
            reader.delete_object(Bucket=bucket, Key="key"),
        ):
            with pytest.raises(ClientError) as refusal:
                await refused
            assert _status(refusal) == 403


@pytest.mark.parametrize("key", ["there", "missing"])
async def test_a_stranger_is_not_told_whether_a_key_is_there(objects: Objects, owner: "S3Client", key: str) -> None:
    bucket = f"strangers-{key}"
    await owner.create_bucket(Bucket=bucket)
    await owner.put_object(Bucket=bucket, Key="there", Body=b"body")
    async with _client(objects, objects.stranger) as stranger:
        with pytest.raises(ClientError) as refusal:
            await stranger.head_object(Bucket=bucket, Key=key)
    assert _status(refusal) == 403


async def test_a_wrong_secret_is_refused(objects: Objects, bucket: str) -> None:
    guess = Identity("owner", objects.owner.rights, access_key_id=objects.access_key_id)
    async with _client(objects, guess) as client:
        with pytest.raises(ClientError) as refusal:
            await client.list_objects_v2(Bucket=bucket)
    assert _status(refusal) == 403


@pytest.mark.extended
async def test_there_is_room_for_many_buckets(owner: "S3Client") -> None:
    for number in range(12):
        await owner.create_bucket(Bucket=f"many-{number}")
        await owner.put_object(Bucket=f"many-{number}", Key="key", Body=b"body")


def test_it_listens_on_loopback_only(objects: Objects) -> None:
    connections = psutil.Process(objects.pid).net_connections("inet")
    assert {c.laddr.ip for c in connections if c.status == "LISTEN"} == {"127.0.0.1"}


def test_its_secret_is_not_shown(objects: Objects) -> None:
    assert objects.secret_access_key not in repr(objects.owner)


@pytest.mark.extended
async def test_objects_outlive_a_stop(tmp_path: Path) -> None:
    server = Objects(tmp_path / "objects", log=tmp_path / "log")
    try:
        server.start()
        async with _client(server, server.owner) as client:
            await client.create_bucket(Bucket="bucket")
            await client.put_object(Bucket="bucket", Key="key", Body=b"kept")
        first = server.pid
        server.stop()
        assert is_gone(first)
        server.start()
        async with _client(server, server.owner) as client:
            answer = await client.get_object(Bucket="bucket", Key="key")
            assert await answer["Body"].read() == b"kept"
    finally:
        server.discard()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = Objects(tmp_path / "objects", log=tmp_path / "log")
    (tmp_path / "objects" / "data").mkdir(parents=True)
    (tmp_path / "objects" / "data" / "filerldb2").write_text("not a folder")
    with pytest.raises(StartError, match=r"(?s)SeaweedFS ended .*filerldb2"):
        server.start(timeout=60)
    server.discard()


def test_a_server_that_is_too_slow_is_stopped_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setattr("rushes_embedded.objects._weed", lambda: slow)
    server = Objects(tmp_path / "objects", log=tmp_path / "log")
    with pytest.raises(StartError, match="SeaweedFS does not answer after 0 s"):
        server.start(timeout=0)
    assert is_gone(server.pid)
    server.discard()
