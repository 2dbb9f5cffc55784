"""The child's `main`: one task in, one line of JSON out."""

import json
import os
import sys
from pathlib import Path

# The folder of `rushes_normalizer` instead of this one, which Python has put first.
sys.path[0] = str(Path(__file__).parents[2])


def main() -> None:
    """Draw the pictures of `sys.argv[1]` and answer; a failure of the machine ends with code 1 and its words."""
    task = json.loads(sys.argv[1])
    # Before the libraries start their threads.
    os.environ["VIPS_CONCURRENCY"] = str(task["threads"] or os.cpu_count() or 1)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"

    from rushes_normalizer.picture_child.answers import answer  # noqa: PLC0415 - see above

    try:
        said = answer(task)
    except Exception as error:
        sys.exit(f"[error] {type(error).__name__}: {' '.join(str(error).split())}")
    print(json.dumps(said), flush=True)


main()
