"""Which movies are decoded whole before they are called ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rushes_normalizer.media import make as engine
from rushes_normalizer.media.verify import verify_by_decoding

from tests.movies import make, movie


@pytest.mark.parametrize(
    ("decode_all", "decoded"),
    [(False, ["low_definition.mp4"]), (True, ["high_definition.mp4", "low_definition.mp4"])],
)
async def test_full_verification_decodes_high_definition_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decode_all: bool, decoded: list[str]
) -> None:
    seen: list[str] = []

    async def watched(*arguments: Any, **options: Any) -> None:
        seen.append(arguments[1].name)
        await verify_by_decoding(*arguments, **options)

    monkeypatch.setattr(engine, "verify_by_decoding", watched)
    await make(movie(tmp_path / "a.mp4", frames=4), decode_all=decode_all)
    assert sorted(seen) == decoded
