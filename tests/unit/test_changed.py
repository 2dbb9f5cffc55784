"""Which tests a change asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.changed import _TESTS_OF, ROOT, paths_for


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        (["schemas/src/rushes_schemas/events.py"], ["tests/unit/schemas"]),
        (["services/syncer/src/rushes_syncer/full.py"], ["tests/integration/syncer", "tests/unit/syncer"]),
        (
            ["services/normalizer/src/rushes_normalizer/media/plan.py"],
            ["tests/integration/media", "tests/unit/media"],
        ),
        (["tests/unit/test_audit.py"], ["tests/unit/test_audit.py"]),
        (["tests/integration/syncer/follower.py"], ["tests/integration/syncer"]),
        (["tests/unit/test_audit.py", "docs/api.md"], ["tests/unit"]),
        (["tests/world.py", "services/kitsu/src/rushes_kitsu/builds.py"], ["tests"]),
        (["pyproject.toml"], ["tests"]),
        ([], []),
    ],
)
def test_a_change_asks_for_the_tests_of_its_folder(changed: list[str], tests: list[str]) -> None:
    assert paths_for(changed) == tests


def test_every_folder_that_is_named_is_there() -> None:
    folders = [*_TESTS_OF, *(f"tests/{each}" for tests in _TESTS_OF.values() for each in tests)]
    assert [folder for folder in folders if not Path(ROOT, folder).exists()] == []
