"""Calibration: does the conductor see what it looks for? `make faults-calibrate`.

Each mutant of the product lacks one mechanism, and plays the faults that show the lack. One of the checks that it
names must see it. The unmutated product plays the same faults and must pass. The last line is JSON; exit 1 unless all
mutants are caught and the product passes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from tests.bench.saying import say
from tests.faults.conductor import Performance, perform
from tests.faults.mutants import MUTANTS, Mutant
from tests.faults.plan import Fault
from tests.faults.samples import Sample, make_samples
from tests.faults.settling import PATIENCE
from tests.faults.stage import Servers, open_stage
from tests.pace import pace

_SEED: Final = 1
_PACE: Final = 0.35  # seconds between two steps: many previews in a short run
_PATIENCE: Final = 40.0 * pace()  # seconds in which nothing ends, for a mutant that never settles
_TRIES: Final = 2  # runs of a mutant: where faults and flow meet is the machine's
# So that a hung child is found within a directed run.
_SETTINGS: Final = {"STALL_TIMEOUT": "15"}


def _caught_by(mutant: Mutant, performance: Performance) -> list[str]:
    return sorted({violation.check for violation in performance.violations} & mutant.seen_by)


async def _play(
    servers: Servers,
    samples: dict[str, Sample],
    name: str,
    faults: Sequence[Fault],
    mutant: str | None,
    patience: float,
) -> Performance:
    async with open_stage(servers, name, mutant=mutant, settings=_SETTINGS) as stage:
        return await perform(stage, samples, faults, random.Random(_SEED), pace=_PACE, patience=patience, in_turn=True)


async def calibrate(mutants: Sequence[Mutant], folder: Path, *, unmutated: bool) -> dict[str, Any]:
    """Play all; the figures as JSON has them."""
    caught: dict[str, list[str]] = {}
    clean: Performance | None = None
    async with AsyncExitStack() as resources:
        samples = await asyncio.to_thread(make_samples, folder / "samples")
        servers = await resources.enter_async_context(Servers(folder))
        if unmutated:
            say("the product itself")
            faults = [fault for each in _schedules(mutants) for fault in each]
            clean = await _play(servers, samples, "unmutated", faults, None, PATIENCE)
            for violation in clean.violations:
                say(f"    {violation}")
        for number, mutant in enumerate(mutants):
            for attempt in range(_TRIES):
                say(f"{mutant.name}: {mutant.lacks}")
                name = f"m{number}-{attempt}"
                performance = await _play(servers, samples, name, mutant.faults, mutant.name, _PATIENCE)
                for violation in performance.violations[:5]:
                    say(f"    {violation}")
                say(f"    {performance.seconds:.0f} s")
                caught[mutant.name] = _caught_by(mutant, performance)
                if caught[mutant.name]:
                    break
    for mutant in mutants:
        print(f"{mutant.name:22s} {', '.join(caught[mutant.name]) or 'NOT CAUGHT':32s} {mutant.lacks}")
    return {
        "mutants": len(mutants),
        "caught": sum(1 for each in caught.values() if each),
        "unmutated_violations": None if clean is None else len(clean.violations),
    }


def _schedules(mutants: Sequence[Mutant]) -> list[tuple[Fault, ...]]:
    """Each schedule once."""
    return list(dict.fromkeys(mutant.faults for mutant in mutants))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutant", choices=list(MUTANTS), action="append", help="only this one; may be given again")
    parser.add_argument("--mutants-only", action="store_true", help="don't play the product itself")
    arguments = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    mutants = [MUTANTS[name] for name in arguments.mutant or MUTANTS]
    folder = Path(tempfile.mkdtemp(prefix="rushes-calibrate-"))
    began = time.monotonic()
    try:
        figures = asyncio.run(calibrate(mutants, folder, unmutated=not arguments.mutants_only))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({**figures, "seconds": round(time.monotonic() - began)}))
    return 0 if figures["caught"] == figures["mutants"] and not figures["unmutated_violations"] else 1


if __name__ == "__main__":
    sys.exit(main())
