"""Which movies are decoded whole before they are called ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rushes_normalizer.media import make as engine
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.make import make_movie
from rushes_normalizer.media.verify import verify_by_decoding
from rushes_schemas.encoding import Encoding

from tests.movies import SMALL, movie, tools


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
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    await make_movie(
        tools(),
        movie(tmp_path / "a.mp4", frames=4),
        scratch,
        encoding=Encoding(),
        defaults=SMALL,
        limits=Limits(),
        progress=lambda _stage, _fraction: None,
        decode_all=decode_all,
    )
    assert sorted(seen) == decoded
