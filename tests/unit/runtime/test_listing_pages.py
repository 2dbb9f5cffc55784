"""Listings as servers write them: read fast, they say what a real reader would say, and an error is no empty bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web
from pydantic import SecretStr
from rushes_runtime.settings import StoreSettings
from rushes_runtime.store import ObjectStat, StoreUnavailableError, open_store

_WRITTEN = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
_ETAG = "9b2cf535f27731c974343645a3985328"

FIRST = f"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>movies</Name><Prefix></Prefix>
<KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
<NextContinuationToken>a&amp;b+c</NextContinuationToken>
<Contents><Key>a%20b+c%2B%C3%BC%26d</Key><LastModified>2026-03-01T12:30:15.000Z</LastModified>
<ETag>&#34;{_ETAG}&#34;</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><Size>20000</Size>
<Owner><ID>75aa57f0</ID><DisplayName>Key</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>tiles-1</Key><LastModified>2026-03-01T12:30:15.000Z</LastModified><ETag>"{_ETAG}-2"</ETag>
<Size>5497558138880</Size></Contents></ListBucketResult>"""
LAST = f"""<ListBucketResult><Name>movies</Name><IsTruncated>false</IsTruncated><Contents><Key>tiles-2</Key>
<LastModified>2026-03-01T12:30:15Z</LastModified><ETag>{_ETAG}</ETag><Size>0</Size></Contents></ListBucketResult>
"""
PREFIXED = f"""<s3:ListBucketResult xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/"><s3:Contents><s3:Key>tiles-3</s3:Key>
<s3:LastModified>2026-03-01T12:30:15.000Z</s3:LastModified><s3:ETag>"{_ETAG}"</s3:ETag><s3:Size>7</s3:Size></s3:Contents>
</s3:ListBucketResult>"""
WITH_ATTRIBUTES = LAST.replace("<Contents>", '<Contents type="object">').replace("tiles-2", "tiles-4")
ONE_ODD_ENTRY = FIRST.replace("<Key>tiles-1", '<Key xml:space="preserve">tiles-1')
EMPTY = "<ListBucketResult><Name>movies</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
ERROR = "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"

FOUND_FIRST = [
    ObjectStat("a b c+ü&d", 20_000, _ETAG, _WRITTEN),
    ObjectStat("tiles-1", 5_497_558_138_880, f"{_ETAG}-2", _WRITTEN),
]
FOUND_LAST = ObjectStat("tiles-2", 0, _ETAG, _WRITTEN)


@asynccontextmanager
async def _server(pages: dict[str | None, str]) -> AsyncIterator[StoreSettings]:
    """Answers listings by their continuation tokens."""

    async def answer(request: web.Request) -> web.Response:
        page = pages[request.query.get("continuation-token")]
        return web.Response(text=page, content_type="application/xml")

    app = web.Application()
    app.router.add_get("/movies", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    _, port = runner.addresses[0]
    try:
        yield StoreSettings(
            kind="s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            access_key_id="key",
            secret_access_key=SecretStr("secret"),
        )
    finally:
        await runner.cleanup()


async def _listed(pages: dict[str | None, str]) -> list[ObjectStat]:
    async with _server(pages) as settings, open_store(settings) as store:
        return [stat async for stat in store.list("movies")]


async def test_all_pages_are_read_with_keys_as_they_are() -> None:
    assert await _listed({None: FIRST, "a&b+c": LAST}) == [*FOUND_FIRST, FOUND_LAST]


async def test_what_is_written_otherwise_is_read_all_the_same() -> None:
    assert [stat.key for stat in await _listed({None: PREFIXED})] == ["tiles-3"]
    assert [stat.key for stat in await _listed({None: WITH_ATTRIBUTES})] == ["tiles-4"]
    assert await _listed({None: ONE_ODD_ENTRY, "a&b+c": LAST}) == [*FOUND_FIRST, FOUND_LAST]
    assert await _listed({None: EMPTY}) == []


@pytest.mark.parametrize("body", [ERROR, FIRST[:700], FIRST[:-30], "", "<html><body>Welcome</body></html>"])
async def test_an_answer_that_is_no_whole_listing_is_no_empty_bucket(body: str) -> None:
    with pytest.raises(
        StoreUnavailableError, match="InternalError" if body == ERROR else "no listing, or not all of it"
    ):
        await _listed({None: body})
