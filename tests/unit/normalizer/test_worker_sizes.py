"""A worker that takes jobs of one size must be told what is large."""

from __future__ import annotations

import pytest
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.settings import nest_variables

from tests.unit.normalizer.test_limit_settings import NEEDED


def settings(**variables: str) -> NormalizerSettings:
    return NormalizerSettings(**nest_variables({**NEEDED, **variables}))


@pytest.mark.parametrize("takes", ["ordinary", "large"])
def test_a_size_without_a_threshold_is_refused(takes: str) -> None:
    with pytest.raises(ValueError, match=f"TAKES is {takes}, but neither LARGE_FROM_BYTES nor LARGE_FROM_PIXELS"):
        settings(TAKES=takes)
    settings(TAKES=takes, LARGE_FROM_BYTES="1")
    settings(TAKES=takes, LARGE_FROM_PIXELS="4")
