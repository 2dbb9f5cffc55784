"""Causes what each alert looks for, and sees that alert, and no other page, fire and resolve: `make drill`.

One line an alert: the seconds until it fired, and those until it had resolved once the cause was gone. Other tickets
may fire beside it, and what the chart's rules for Alertmanager inhibit; another page is a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from aiokafka.errors import KafkaError
from rushes_runtime.logs import configure_logs

from tests.drill.conditions import CONDITIONS, NEED_KAFKA, Condition
from tests.drill.inhibition import inhibited
from tests.drill.stage import NO_KAFKA, Drill, drill_in
from tests.promtool import LACKING

_PATIENCE: Final = 90.0
_LOOK: Final = 0.5


class DrillFailedError(Exception):
    """An alert did not do what it must."""


class Watch:
    """Which alerts fire, and whether they may."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill

    async def until_fires(self, name: str) -> tuple[float, str]:
        """Seconds until an alert fires, and what it says."""
        began = time.monotonic()
        while True:
            firing = await self._look(name)
            if name in firing:
                return time.monotonic() - began, firing[name]
            self._be_patient(began, f"{name} does not fire")
            await asyncio.sleep(_LOOK)

    async def until_quiet(self, name: str) -> float:
        """Seconds until neither an alert nor any page fires."""
        began = time.monotonic()
        while name in await self._look(name):
            self._be_patient(began, f"{name} does not resolve")
            await asyncio.sleep(_LOOK)
        return time.monotonic() - began

    async def _look(self, name: str) -> dict[str, str]:
        firing = await self._drill.prometheus.firing()
        quiet = inhibited(set(firing))
        others = {
            other: alert["annotations"]["summary"]
            for other, alert in firing.items()
            if other not in {name, *quiet} and alert["labels"]["severity"] == "page"
        }
        if others:
            raise DrillFailedError(f"beside {name} pages fire: {others}")
        return {each: alert["annotations"]["summary"] for each, alert in firing.items()}

    @staticmethod
    def _be_patient(began: float, otherwise: str) -> None:
        if time.monotonic() - began > _PATIENCE:
            raise DrillFailedError(f"{otherwise} for {_PATIENCE:.0f} s")


async def play(drill: Drill, name: str, condition: Condition) -> str:
    """One alert; what to say of it.

    Raises:
        DrillFailedError: it did not fire or resolve, or another page did.
    """
    watch = Watch(drill)
    causing = condition(drill)
    entering = asyncio.create_task(causing.__aenter__())
    try:
        # Some causes are over as soon as they have had their effect: what fires is looked for meanwhile.
        fired, said = await watch.until_fires(name)
    finally:
        await entering
        await causing.__aexit__(None, None, None)
    quiet = await watch.until_quiet(name)
    return f"{name:<20} fires after {fired:4.0f} s, resolves after {quiet:4.0f} s  {said}"


async def run(names: list[str], folder: Path) -> int:
    """Play each; the exit code."""
    failed, left_out = 0, NEED_KAFKA & set(names) if NO_KAFKA else set()
    for name in sorted(left_out):
        print(f"{name:<20} LEFT OUT: {NO_KAFKA}", flush=True)
    names = [name for name in names if name not in left_out]
    async with drill_in(folder) as drill:
        for name in names:
            try:
                print(await play(drill, name, CONDITIONS[name]), flush=True)
            except (DrillFailedError, AssertionError, KafkaError) as error:
                failed += 1
                print(f"{name:<20} FAILED: {error}", flush=True)
                await asyncio.sleep(30)  # what is left of it shall not fail the next one
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alerts", nargs="*", default=list(CONDITIONS), help="which ones (all)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    arguments = parser.parse_args()
    if unknown := set(arguments.alerts) - set(CONDITIONS):
        parser.error(f"no such alert: {', '.join(sorted(unknown))}")
    if LACKING:
        sys.exit(LACKING)
    configure_logs("critical", "text")
    folder = Path(tempfile.mkdtemp(prefix="rushes-drill-"))
    try:
        code = asyncio.run(run(arguments.alerts, folder))
    finally:
        if arguments.keep:
            print(f"logs in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
