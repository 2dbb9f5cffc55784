"""What a dispatch of Zou asks for, and which are refused."""

from __future__ import annotations

import base64
import json
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rushes_kitsu.builds import Build
from rushes_kitsu.payload import MoviePayload, PlaylistPayload, RefusedError, TilePayload, read_payload
from rushes_kitsu.same_store import check_same_store
from rushes_kitsu.settings import KitsuSettings
from rushes_runtime.settings import nest_variables

from tests.unit.kitsu.zou_payloads import SECRET, dispatch_body, movie_payload, playlist_payload, tile_payload

S3 = {"STORE__KIND": "s3", "STORE__ENDPOINT_URL": "http://store:8333/", "STORE__BUCKET_PREFIX": "studio-"}
LOCAL = {"STORE__KIND": "local", "STORE__ROOT": "/mnt/previews"}


def settings(**variables: str) -> KitsuSettings:
    needed = {"DATABASE_URL": "postgresql+asyncpg://u:p@h/d", "KAFKA__BOOTSTRAP_SERVERS": "h:1"}
    return KitsuSettings(**nest_variables({**needed, **variables}))


def local_payload(**changed: Any) -> dict[str, Any]:
    return movie_payload(FS_BACKEND="local", FS_BUCKET_PREFIX="", **changed)


def refusal(payload: dict[str, Any], **variables: str) -> str:
    with pytest.raises(RefusedError) as refused:
        check_same_store(read_payload(dispatch_body(payload), MoviePayload), settings(**variables))
    return str(refused.value)


def test_the_wishes_of_a_project_become_those_of_the_upload() -> None:
    encoding = read_payload(dispatch_body(movie_payload(skip_high_def=True)), MoviePayload).encoding()
    assert json.loads(encoding.model_dump_json(exclude_none=True)) == {
        "height": 1080,
        "fps": "24000/1001",
        "highdef_bitrate": "28000k",
        "lowdef_bitrate": "6000k",
        "preset": "medium",
        "vbv_bufsize_factor": 2.0,
        "skip_highdef": True,
        "skip_normalization": False,
    }


def test_a_bitrate_without_a_cap_gets_the_largest_buffer() -> None:
    encoding = read_payload(dispatch_body(movie_payload(vbv_bufsize_factor=0)), MoviePayload).encoding()
    assert encoding.vbv_bufsize_factor == 10


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not that of a dispatch"),
        (b"[]", "not that of a dispatch"),
        (b'{"Payload": null}', "not that of a dispatch"),
        (b'{"Payload": "%%%"}', "not that of a dispatch"),
        (dispatch_body([]), "cannot be used"),
        (dispatch_body(movie_payload(version="3")), "not of version 2"),
        (dispatch_body(movie_payload(preview_file_id="../etc")), "preview_file_id"),
        (dispatch_body(movie_payload(fps="soon")), "fps"),
        (dispatch_body(movie_payload(preset="magic")), "preset"),
        (dispatch_body(movie_payload(width=10**9)), "width"),
        (dispatch_body(movie_payload(FS_BACKEND=[SECRET])), "FS_BACKEND"),
    ],
)
def test_another_payload_is_refused_with_a_reason_that_quotes_no_secret(body: bytes, words: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read_payload(body, MoviePayload)
    assert words in str(refused.value)
    assert SECRET not in str(refused.value)


def test_credentials_are_dropped_while_the_payload_is_read() -> None:
    assert SECRET not in repr(read_payload(dispatch_body(movie_payload()), MoviePayload))


@pytest.mark.parametrize(
    ("payload", "variables"),
    [
        (movie_payload(), S3),
        (movie_payload(FS_S3_ENDPOINT="http://inside:80"), {**S3, "ZOU_ENDPOINTS": "http://other, http://inside:80/"}),
        (movie_payload(FS_S3_ENDPOINT=None), {"STORE__KIND": "s3", "STORE__BUCKET_PREFIX": "studio-"}),
        (
            movie_payload(FS_BACKEND="swift", FS_SWIFT_AUTHURL="https://keystone/v3"),
            {**S3, "ZOU_ENDPOINTS": "https://keystone/v3"},
        ),
        (local_payload(FS_ROOT="/mnt/previews/"), LOCAL),
        (local_payload(), {**LOCAL, "ZOU_PREVIEW_FOLDER": "/opt/zou/previews"}),
    ],
)
def test_the_same_store_is_known_by_any_of_its_names(payload: dict[str, Any], variables: dict[str, str]) -> None:
    check_same_store(read_payload(dispatch_body(payload), MoviePayload), settings(**variables))


@pytest.mark.parametrize(
    ("payload", "variables", "words"),
    [
        (movie_payload(FS_BUCKET_PREFIX="other-"), S3, "FS_BUCKET_PREFIX 'other-'"),
        (movie_payload(FS_S3_ENDPOINT="http://elsewhere"), S3, "FS_S3_ENDPOINT is http://elsewhere"),
        (movie_payload(FS_S3_ENDPOINT=f"http://u:{SECRET}@elsewhere"), S3, "FS_S3_ENDPOINT is elsewhere"),
        (movie_payload(FS_S3_ENDPOINT=None), S3, "so that AWS is meant"),
        (movie_payload(FS_BACKEND="swift", FS_SWIFT_AUTHURL="https://keystone"), S3, "FS_SWIFT_AUTHURL"),
        (movie_payload(FS_BACKEND="gcs"), S3, "'gcs'"),
        (movie_payload(FS_S3_AES256_ENCRYPTED=True), S3, "encrypts"),
        (movie_payload(FS_SWIFT_AES256_ENCRYPTED=True), S3, "encrypts"),
        (movie_payload(), LOCAL, "Rushes in a local folder"),
        (local_payload(), S3, "Rushes in S3"),
        (local_payload(), LOCAL, "'/opt/zou/previews'"),
        (local_payload(FS_ROOT=None), LOCAL, "no folder"),
    ],
)
def test_another_store_is_refused_by_its_name(payload: dict[str, Any], variables: dict[str, str], words: str) -> None:
    said = refusal(payload, **variables)
    assert words in said
    assert SECRET not in said


def test_settings_that_belong_together_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "pem").touch()
    for wrong in (
        {"NOMAD_TLS_CERTFILE": str(tmp_path / "pem")},
        {"NOMAD_TLS_CLIENT_CAFILE": str(tmp_path / "pem")},
        {"NOMAD_TOKEN": "one", "NOMAD_TOKEN_FILE": str(tmp_path / "pem")},
    ):
        with pytest.raises(ValueError, match="NOMAD_"):
            settings(**S3, **wrong)


BUILD = uuid4()
MANY = [uuid4() for _ in range(300)]


def test_a_playlist_is_read_with_its_order_and_what_comes_again() -> None:
    previews = [*MANY, MANY[0]]
    payload = read_payload(dispatch_body(playlist_payload(BUILD, previews, full=True)), PlaylistPayload)
    assert (payload.preview_file_ids, payload.of, payload.full) == (tuple(previews), BUILD, True)
    assert SECRET not in repr(payload)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": "2"}, "not of version 1"),
        ({"output_key": "previews-" + str(MANY[0])}, "output_key"),
        ({"output_key": "playlists-../x"}, "output_key"),
        ({"input": "no base64"}, "base64 of zlib"),
        ({"input": base64.b64encode(zlib.compress(b"[" + b" " * 10_000_000 + b"]")).decode()}, "too long"),
        ({"input": base64.b64encode(zlib.compress(b"[]")).decode()}, "input"),
        ({"input": base64.b64encode(zlib.compress(b'["../etc"]')).decode()}, "input"),
    ],
)
def test_a_playlist_that_cannot_be_one_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read_payload(dispatch_body(playlist_payload(BUILD, MANY, **changed)), PlaylistPayload)
    assert words in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_tile_is_looked_for_first_where_zou_says_and_else_in_the_smallest_version() -> None:
    payload = read_payload(dispatch_body(tile_payload(MANY[0], movie_prefixes=["source"])), TilePayload)
    assert Build.ordered(payload).prefixes == ("source", "lowdef", "previews")
    with pytest.raises(RefusedError, match="movie_prefixes"):
        read_payload(dispatch_body(tile_payload(MANY[0], movie_prefixes=["../etc/passwd"])), TilePayload)


def test_somebody_who_waits_for_a_playlist_comes_before_tiles_that_were_asked_for_earlier() -> None:
    now = datetime.now(UTC)
    tile = Build.ordered(read_payload(dispatch_body(tile_payload(MANY[0])), TilePayload))
    playlist = Build.ordered(read_payload(dispatch_body(playlist_payload(BUILD, MANY)), PlaylistPayload))
    assert playlist.task(now).rank < tile.task(now - timedelta(minutes=30)).rank


def test_three_jobs_must_have_three_names() -> None:
    with pytest.raises(ValueError, match="three names"):
        settings(PLAYLIST_JOB="rushes-normalize", **S3)
