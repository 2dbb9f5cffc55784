"""Names the tests of what has changed, for `make test-changed`: by folder.

`python -m tests.changed [COMMIT]` prints paths for pytest: of changes since the commit, by default the last one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).parents[1]
# What a package's own tests are; whatever else changes, all tests are asked for.
_TESTS_OF: Final = {
    "schemas": ("unit/schemas",),
    "services/runtime": ("unit/runtime", "integration/runtime", "model"),
    "services/normalizer/src/rushes_normalizer/media": ("unit/media", "integration/media"),
    "services/normalizer/src/rushes_normalizer/api": ("unit/normalizer", "integration/api"),
    "services/normalizer": ("unit/normalizer", "integration/normalizer"),
    "services/syncer": ("unit/syncer", "integration/syncer"),
    "services/kitsu": ("unit/kitsu", "integration/kitsu"),
    "services/embedded": ("integration/embedded",),
    "docs": ("unit",),
    "deploy": ("vm/test_files.py",),
}


def paths_for(changed: Iterable[str]) -> list[str]:
    """Return the folders and files under `tests` to run after a change of these files, relative to the root."""
    chosen: set[str] = set()
    for name in changed:
        path = PurePosixPath(name)
        if path.parts[0] == "tests":
            chosen.add(name if path.name.startswith("test_") else str(path.parent))
        else:
            folder = next((folder for folder in _TESTS_OF if path.is_relative_to(folder)), None)
            chosen |= {f"tests/{each}" for each in _TESTS_OF[folder]} if folder else {"tests"}
    return sorted(each for each in chosen if not any(str(above) in chosen for above in PurePosixPath(each).parents))


def changed_since(commit: str) -> list[str]:
    """Return the files that differ from a commit, with untracked ones and without tests that were deleted.

    Raises:
        subprocess.CalledProcessError: git knows no such commit, and has said so on stderr.
    """
    differing = _git("diff", "--name-only", "--no-renames", commit)
    return [
        name
        for name in (*differing, *_git("ls-files", "--others", "--exclude-standard"))
        if (ROOT / name).exists() or not name.startswith("tests/")
    ]


def _git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def main(commit: str = "HEAD") -> None:
    print("\n".join(paths_for(changed_since(commit))))


if __name__ == "__main__":
    main(*sys.argv[1:2])
