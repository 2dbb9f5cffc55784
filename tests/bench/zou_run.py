"""Zou's own functions on one movie, run by the python of Zou's environment: `python -m tests.bench.zou_run MOVIE`.

Calls them as Zou 1.0.97's `preview_files_service` does for a project of 25 frames a second and 1920 x 1080, whose
settings are Zou's defaults. Prints JSON: the seconds of CPU of these calls and all their children, the peak memory of
the largest child in bytes, and the files that were made. Zou then makes three smaller pictures with Pillow; they are
left out, in its favour.
"""

from __future__ import annotations

import json
import sys

from zou.utils import movie

from tests.bench.spent import cpu_seconds, peak_child_bytes


def main() -> None:
    """The command line."""
    before = cpu_seconds()
    high, low, error = movie.normalize_movie(sys.argv[1], fps="25.000", width=1920, height=1080)
    if error:
        raise SystemExit(error)
    made = {
        "high_definition": high,
        "low_definition": low,
        "original": movie.generate_thumbnail(high),
        "tile": movie.generate_tile(high),
    }
    cpu = cpu_seconds() - before
    print(json.dumps({"cpu_seconds": cpu, "peak_rss_bytes": peak_child_bytes(), "files": made}))


if __name__ == "__main__":
    main()
