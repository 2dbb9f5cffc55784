"""A service's console script with what a test does to it: a clock that jumps, an encoder that lies, a mutant.

    python -m tests.faults.process normalizer run

In a syncer, what killed copies left at a site is old after seconds, not after a day. Nothing of this is in the product:
its modules are changed here, after they were imported.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from botocore import auth
from botocore.compat import get_current_datetime
from rushes_normalizer import cli as normalizer
from rushes_normalizer import intake, workshop
from rushes_normalizer.media import command, make
from rushes_runtime import worker
from rushes_syncer import abandoned
from rushes_syncer import cli as syncer
from rushes_syncer import intake as syncer_intake
from rushes_syncer import workshop as syncer_workshop

from tests.faults.mutants import MUTANTS


def _shift(flags: Path) -> timedelta:
    try:
        return timedelta(seconds=float((flags / f"clock-{os.environ['FAULTS_PROCESS']}").read_text()))
    except (FileNotFoundError, ValueError):
        return timedelta(0)


def let_clock_jump(flags: Path) -> None:
    """The wall clock of this process is off by the seconds in the file `clock-{process}`, while it is there.

    Everything that reads a wall clock here: intake (ranks, times of rows), the worker (ages of jobs), the workshop
    (times of events), and S3's signatures.
    """

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + _shift(flags)

    for module in (intake, workshop, worker, syncer_intake, syncer_workshop):
        assert vars(module)["datetime"] is datetime
        vars(module)["datetime"] = Jumping

    def now(remove_tzinfo: bool = True) -> datetime:
        return get_current_datetime(remove_tzinfo) + _shift(flags)

    vars(auth)["get_current_datetime"] = now


def let_encoder_lie(flags: Path) -> None:
    """While the file `lying-encoder` is there, half of each low definition movie is lost after its encode."""
    run = vars(make)["run"]

    async def lying(argv: Any, *, scratch: Path, **rest: Any) -> Any:
        log = await run(argv, scratch=scratch, **rest)
        made = scratch / command.LOW_DEFINITION
        if (flags / "lying-encoder").exists() and made.exists():
            os.truncate(made, made.stat().st_size // 2)
        return log

    vars(make)["run"] = lying


def let_uploads_grow_old_soon() -> None:
    """What a killed copy left goes within a run. A copy that takes that long loses its upload, and is made again."""
    patience: dict[str, Any] = {"_ABANDONED_AFTER": timedelta(seconds=20), "_EVERY": 5.0}
    assert patience.keys() <= vars(abandoned).keys()
    vars(abandoned).update(patience)


def main() -> None:
    """The console script of the service that is named first."""
    flags = Path(os.environ["FAULTS_FLAGS"])
    let_uploads_grow_old_soon()
    let_clock_jump(flags)
    let_encoder_lie(flags)
    if name := os.environ.get("FAULTS_MUTANT"):
        MUTANTS[name].switch_on()
    service = sys.argv.pop(1)
    (syncer if service == "syncer" else normalizer).main()


if __name__ == "__main__":
    main()
