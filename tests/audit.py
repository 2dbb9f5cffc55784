"""`make audit`: does an advisory name a package of ours, or did no source of advisories answer?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.cache import programs_of

_LOCK: Final = Path(__file__).parents[1] / "deploy" / "audit" / "requirements.lock"
_SOURCES: Final = ("pypi", "osv")


@dataclass(frozen=True)
class Verdict:
    """What a source said: of how many packages it knows, of how many it does not, and the advisories by package."""

    known: int
    unknown: int
    advisories: tuple[str, ...]


def verdict(report: dict[str, Any]) -> Verdict:
    """What pip-audit's report in JSON comes to. A source that answers "not found" for a package knows nothing of it."""
    packages = report["dependencies"]
    known = [each for each in packages if "skip_reason" not in each]
    return Verdict(
        known=len(known),
        unknown=len(packages) - len(known),
        advisories=tuple(
            f"{each['name']} {each['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'none'}"
            for each in known
            for found in each["vulns"]
        ),
    )


def ask(program: Path, source: str, lock: Path) -> Verdict | None:
    """What a source says of a lock's packages; None: it does not answer."""
    options = ("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off", "--timeout", "10")
    command: list[str | Path] = [program, *options, "--vulnerability-service", source, "--requirement", lock]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = verdict(json.loads(ran.stdout))
    except ValueError:  # it ended with a traceback
        return None
    return found if found.known else None


def main(locks: Sequence[Path]) -> int:
    """Ask of each lock; 1 if an advisory names a package, 0 also when no source answers, which is said."""
    program = _pip_audit()
    code = 0
    for lock in locks:
        found = next((said for source in _SOURCES if (said := ask(program, source, lock))), None)
        if found is None:
            print(f"{lock}: NOT AUDITED, no source of advisories answers here (asked: {', '.join(_SOURCES)})")
            continue
        print(f"{lock}: {found.known} packages audited, {found.unknown} unknown to the source")
        for advisory in found.advisories:
            print(f"  {advisory}")
            code = 1
    return code


def _pip_audit() -> Path:
    """The program, installed (30 packages) if it is not there."""
    return programs_of("pip-audit", _LOCK) / "pip-audit"


if __name__ == "__main__":
    sys.exit(main([Path(each) for each in sys.argv[1:]]))
