"""Whether Zou's store is the one that Rushes works in: a pure look at what a dispatch says of it."""

from __future__ import annotations

import os

from rushes_kitsu.payload import RefusedError, StorePayload
from rushes_kitsu.settings import KitsuSettings, endpoint_name


def check_same_store(payload: StorePayload, settings: KitsuSettings) -> None:
    """Check that outputs under Rushes' own store settings are where Zou looks for them.

    Raises:
        RefusedError: another store, other buckets, or objects that are encrypted by Zou.
    """
    if payload.s3_encrypted or payload.swift_encrypted:
        raise RefusedError(
            "Zou encrypts its objects (FS_S3_AES256_ENCRYPTED or FS_SWIFT_AES256_ENCRYPTED): Rushes reads and writes "
            "plain ones; use the store's own encryption instead"
        )
    match payload.backend:
        case "local":
            _check_folder(payload, settings)
        case "s3":
            _check_endpoint("FS_S3_ENDPOINT", payload.s3_endpoint, settings)
        case "swift":
            _check_endpoint("FS_SWIFT_AUTHURL", payload.swift_authurl, settings)
        case other:
            raise RefusedError(f"FS_BACKEND is {other[:40]!r}: Rushes knows local, s3 and swift")
    if payload.bucket_prefix != settings.store.bucket_prefix:
        raise RefusedError(
            f"Zou's buckets begin with FS_BUCKET_PREFIX {payload.bucket_prefix[:60]!r}, those of Rushes with "
            f"STORE__BUCKET_PREFIX {settings.store.bucket_prefix!r}"
        )


def _check_folder(payload: StorePayload, settings: KitsuSettings) -> None:
    if settings.store.kind != "local":
        raise RefusedError("Zou keeps files in a local folder (FS_BACKEND is local), Rushes in S3 (STORE__KIND)")
    assert settings.store.root is not None
    known = settings.zou_preview_folder or settings.store.root
    if payload.root is None or os.path.normpath(payload.root) != os.path.normpath(known):
        raise RefusedError(
            f"Zou keeps files in {(payload.root or 'no folder')[:200]!r}, which is not the shared folder "
            f"that Rushes knows ({str(known)!r}: STORE__ROOT, or ZOU_PREVIEW_FOLDER for Zou's name of it)"
        )


def _check_endpoint(name: str, given: str | None, settings: KitsuSettings) -> None:
    if settings.store.kind != "s3":
        raise RefusedError("Zou keeps files in an object store, Rushes in a local folder (STORE__KIND)")
    known = settings.store_names()
    if (endpoint_name(given) if given else None) not in (known or {None}):
        shown = endpoint_name(given or "")[:200].rpartition("@")[2] or "not set, so that AWS is meant"
        raise RefusedError(
            f"{name} is {shown}, which is not the store that Rushes knows "
            f"({', '.join(sorted(known)) or 'AWS'}: STORE__ENDPOINT_URL, or ZOU_ENDPOINTS for Zou's names of it)"
        )
