"""What Zou sends with a dispatch."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

SECRET = "marker5ecret"


def movie_payload(preview_file_id: UUID | str | None = None, **changed: Any) -> dict[str, Any]:
    """A payload of Zou 1.0.97 whose store is S3; `changed` fields replace its own."""
    return {
        "version": "2",
        "preview_file_id": str(preview_file_id or uuid4()),
        "width": None,
        "height": 1080,
        "fps": "23.976",
        "skip_high_def": False,
        "skip_normalization": False,
        "preset": "medium",
        "vbv_bufsize_factor": 2,
        "highdef_bitrate": 28,
        "lowdef_bitrate": 6,
        "FS_BACKEND": "s3",
        "FS_ROOT": "/opt/zou/previews",
        "FS_BUCKET_PREFIX": "studio-",
        "FS_S3_REGION": "us-east-1",
        "FS_S3_ENDPOINT": "http://store:8333",
        "FS_S3_ACCESS_KEY": f"key-{SECRET}",
        "FS_S3_SECRET_KEY": SECRET,
        "FS_S3_AES256_ENCRYPTED": False,
        "FS_SWIFT_KEY": SECRET,
        **changed,
    }


def playlist_payload(build_id: UUID, previews: Sequence[UUID], *, full: bool = False, **changed: Any) -> dict[str, Any]:
    """What Zou sends to have a playlist built."""
    packed = base64.b64encode(zlib.compress(json.dumps([str(each) for each in previews]).encode())).decode()
    own = {
        "version": "1",
        "output_filename": f"cache-playlists-{build_id}.mp4",
        "output_key": f"playlists-{build_id}",
        "input": packed,
        "width": 320,
        "height": 180,
        "fps": "25.000",
        "full": str(full).lower(),
    }
    return {**_store_of(movie_payload()), **own, **changed}


def tile_payload(preview_file_id: UUID, **changed: Any) -> dict[str, Any]:
    """What Zou sends to have a missing tile built."""
    own = {"version": "1", "preview_file_id": str(preview_file_id), "movie_prefixes": []}
    return {**_store_of(movie_payload()), **own, **changed}


def _store_of(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name.startswith("FS_")}


def dispatch_body(payload: Any) -> bytes:
    """The body of a dispatch, as python-nomad sends it."""
    encoded = base64.b64encode(json.dumps(payload).encode()).decode()
    return json.dumps({"Meta": None, "Payload": encoded, "idempotency_token": None, "IdPrefixTemplate": None}).encode()
