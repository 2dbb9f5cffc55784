"""A full payload of each event, as JSON."""

from __future__ import annotations

from typing import Any

PREVIEW_ID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
PROJECT_ID = "11111111-2222-4333-8444-555555555555"
STORED = {
    "kind": "low_definition",
    "bucket": "movies",
    "key": f"lowdef-{PREVIEW_ID}",
    "bytes": 2048,
    "etag": '"abc"',
    "sha256": "0" * 64,
}
PAYLOADS: dict[str, dict[str, Any]] = {
    "preview-uploaded": {
        "preview_file_id": PREVIEW_ID,
        "extension": "mov",
        "uploaded_at": "2026-01-02T03:04:05Z",
        "source": {"bucket": "movies", "key": f"source-{PREVIEW_ID}", "bytes": 4096, "etag": '"e"', "sha256": "0" * 64},
        "upload_generation": 2,
        "project_id": PROJECT_ID,
        "task_id": PROJECT_ID,
        "person_id": PROJECT_ID,
        "name": "sh010_comp",
        "original_name": "sh010_comp.mov",
        "revision": 3,
        "position": 1,
        "encoding": {"width": 1998, "height": 1080, "fps": "24000/1001", "highdef_bitrate": "28M", "preset": "fast"},
    },
    "preview-deleted": {"preview_file_id": PREVIEW_ID, "deleted_at": "2026-01-02T03:04:05Z"},
    "renormalize-requested": {
        "preview_file_id": PREVIEW_ID,
        "reason": "the source is back",
        "requested_by": "ada",
        "priority": "bulk",
        "encoding": {"fps": 24},
    },
    "status-changed": {
        "preview_file_id": PREVIEW_ID,
        "version": 2,
        "fence": 7,
        "id": PREVIEW_ID,
        "name": "sh010_comp",
        "original_name": "sh010_comp.mov",
        "extension": "mp4",
        "revision": 3,
        "position": 1,
        "file_size": 4096,
        "status": "broken",
        "previous_status": "processing",
        "internal_status": "missing",
        "internal_previous_status": "processing",
        "validation_status": "neutral",
        "project_id": PROJECT_ID,
        "task_id": None,
        "person_id": None,
        "created_at": "2026-01-02T03:04:05Z",
        "job": {"state": "failed", "request_ids": ["one"], "attempt": 2},
        "error": {"code": "source_missing", "message": "no such object", "retryable": False},
        "width": 1998,
        "height": 1080,
        "duration": 4.5,
        "fps": "24000/1001",
        "frame_count": 108,
        "source_fps": "24000/1001",
        "frames_duplicated": 0,
        "frames_dropped": 0,
        "files": [STORED],
        "deleted": False,
        "upload": {
            "extension": "mov",
            "uploaded_at": "2026-01-02T03:04:00Z",
            "generation": 2,
            "source": {"bucket": "movies", "key": f"source-{PREVIEW_ID}", "bytes": 4096, "etag": '"e"', "sha256": None},
            "encoding": None,
        },
        "occurred_at": "2026-01-02T03:05:05Z",
    },
}
