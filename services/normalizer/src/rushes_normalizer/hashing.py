"""Checksums of files."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path


async def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hex, read in bounded memory."""
    return await asyncio.to_thread(_sha256, path)


def _sha256(path: Path) -> str:
    with path.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()
