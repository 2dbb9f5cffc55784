"""What Zou sends with a dispatch."""

from __future__ import annotations

import base64
import json
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


def dispatch_body(payload: Any) -> bytes:
    """The body of a dispatch, as python-nomad sends it."""
    encoded = base64.b64encode(json.dumps(payload).encode()).decode()
    return json.dumps({"Meta": None, "Payload": encoded, "idempotency_token": None, "IdPrefixTemplate": None}).encode()
