"""Prints how much of each package the tests reach, from what `coverage combine` has left."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from coverage import Coverage

_COUNTS: Final = ("num_statements", "missing_lines", "num_branches", "missing_branches")
_ROW: Final = "{:<20} {:>10} {:>8} {:>10} {:>8} {:>8}"


def main() -> None:
    coverage = Coverage()
    coverage.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        coverage.json_report(outfile=str(report))
        files = json.loads(report.read_bytes())["files"]
    packages: dict[str, Counter[str]] = {}
    for name, file in files.items():
        if Path(name).is_absolute():  # of the last release, which tests run from a folder of their own
            continue
        (package,) = [part for part in Path(name).parts if part.startswith("rushes_")][:1]
        packages.setdefault(package, Counter()).update({each: file["summary"][each] for each in _COUNTS})
    print(_ROW.format("package", "statements", "missed", "branches", "missed", "covered"))
    for package, counts in sorted(packages.items()):
        statements, missed, branches, missed_branches = (counts[each] for each in _COUNTS)
        reached = 1 - (missed + missed_branches) / max(1, statements + branches)
        print(_ROW.format(package, statements, missed, branches, missed_branches, f"{reached:.1%}"))


if __name__ == "__main__":
    main()
