"""The conductor: two normalizers and two sites' syncers under a steady flow, fault after fault; a look from outside.

    make faults                                   # 200 faults
    python -m tests.faults.conductor --seed 7 --faults 25
    python -m tests.faults.conductor --seed 7 --plan    # what that would be, and nothing is run

A seed means a plan of faults and a flow; what meets what in time is the machine's. The last line is JSON. Exit 1 if
any promise does not hold: then each violation has a line, and the logs, topics and tables stay in a folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from tests.bench.saying import say
from tests.faults.checks import Excuses, find_violations
from tests.faults.evidence import Evidence, gather
from tests.faults.flow import Studio, open_studio
from tests.faults.kinds import DOINGS
from tests.faults.plan import KINDS, NEED_MOUNTS, SITES, Fault, Step, plan_faults, plan_flow
from tests.faults.private_mounts import may_mount
from tests.faults.readiness import until_ready
from tests.faults.samples import Sample, make_samples
from tests.faults.scene import Scene
from tests.faults.settling import PATIENCE, settle
from tests.faults.site_checks import find_site_violations
from tests.faults.site_faults import dead
from tests.faults.stage import Servers, Stage, open_stage
from tests.faults.violations import PROMISES, Violation

_WARM_UP: Final = 8  # steps before the first fault
_LAST_STEPS: Final = 3.0  # seconds that the flow goes on after the last fault
_SHOWN: Final = 40  # violations


@dataclass
class Performance:
    """What came of one run."""

    faults: Sequence[Fault]
    violations: list[Violation] = field(default_factory=list)
    previews: int = 0
    events: int = 0
    ends: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self, seed: int) -> dict[str, Any]:
        """As JSON has it."""
        broken = Counter(violation.promise for violation in self.violations)
        return {
            "seed": seed,
            "faults": len(self.faults),
            "by_kind": dict(sorted(Counter(fault.kind for fault in self.faults).items())),
            **{promise: broken[promise] for promise in PROMISES},
            "previews": self.previews,
            "events": self.events,
            "seconds": round(self.seconds, 1),
        }


async def perform(
    stage: Stage,
    samples: dict[str, Sample],
    faults: Sequence[Fault],
    rng: random.Random,
    *,
    pace: float,
    patience: float = PATIENCE,
    in_turn: bool = False,
    dies: str | None = None,
) -> Performance:
    """Play a flow and faults on a stage; what holds afterwards.

    Args:
        dies: a site whose store is dead from the last fault on, until all the rest has ended and was looked at.
        in_turn: a fault that does not overlap another waits until all processes are up again.
        pace: seconds between two steps of the flow, on average.
        patience: seconds in which nothing ends, afterwards, until it counts as stuck.
    """
    began = time.monotonic()
    performance = Performance(faults)
    flow = plan_flow(random.Random(rng.getrandbits(64)), pace)
    async with open_studio(stage, samples, _ids(random.Random(rng.getrandbits(64)))) as studio:
        scene = Scene(stage, studio)
        for _ in range(_WARM_UP):
            await studio.play(next(flow))
        await until_ready(stage)
        stop = asyncio.Event()
        playing = asyncio.create_task(studio.run(flow, stop))
        try:
            await _inject(scene, faults, playing, in_turn=in_turn)
            async with AsyncExitStack() as last:
                if dies:
                    say(f"{dies} dies")
                    await last.enter_async_context(dead(scene, dies))
                await asyncio.sleep(_LAST_STEPS)
                stop.set()
                await playing
                say(f"settling after {len(faults)} faults, {studio.steps} steps, {len(studio.previews)} previews")
                if dies:
                    performance.violations += await settle(stage, patience, dead=dies)
                    alive = await gather(stage, stage.folder, [site for site in SITES if site != dies])
                    performance.violations += find_site_violations(alive)
                    say(f"{dies} is back")
        finally:
            stop.set()
            await playing
        performance.violations += await settle(stage, patience)
        evidence = await gather(stage, stage.folder, SITES)
        damaged = frozenset(
            truth.id
            for truth in studio.previews
            if truth.undescribed and stage.s3.damaged & {f"source-{truth.id}", f"original-{truth.id}"}
        )
        excuses = Excuses(frozenset(scene.hung), scene.lying_encoder, damaged)
        performance.violations += find_violations(studio.previews, studio.accepted, evidence, excuses)
        performance.ends = [end for process in stage.processes.values() for end in process.ends]
        performance.previews = len(studio.previews)
        performance.events = len(studio.accepted) + len(evidence.statuses)
        if performance.violations:
            _keep(stage, studio, evidence, performance)
    performance.seconds = time.monotonic() - began
    return performance


async def _inject(scene: Scene, faults: Sequence[Fault], playing: asyncio.Task[None], *, in_turn: bool) -> None:
    """One fault after another; some begin while the one before lasts."""
    began = time.monotonic()
    lasting: set[asyncio.Task[None]] = set()
    for fault in faults:
        if not fault.overlaps or len(lasting) > 1:
            await _ended(lasting)
        if in_turn and not lasting:
            await until_ready(scene.stage)
        await asyncio.sleep(fault.gap)
        if playing.done():
            playing.result()
        say(f"{time.monotonic() - began:6.1f} s  {fault}")
        lasting.add(asyncio.create_task(_do(scene, fault)))
    await _ended(lasting)


async def _do(scene: Scene, fault: Fault) -> None:
    await DOINGS[fault.kind](scene, fault)


async def _ended(lasting: set[asyncio.Task[None]]) -> None:
    for task in list(lasting):
        await task
        lasting.discard(task)


def _ids(rng: random.Random) -> Iterator[UUID]:
    while True:
        yield UUID(int=rng.getrandbits(128), version=4)


def _keep(stage: Stage, studio: Studio, evidence: Evidence, performance: Performance) -> None:
    """Write down what was seen, beside the logs."""
    statuses = [
        {"partition": each.partition, "offset": each.offset, "key": each.key and each.key.decode(),
         "mirrored": each.mirrored, "value": json.loads(each.value) if each.value else None}
        for each in evidence.statuses
    ]  # fmt: skip
    sent = [{"kind": each.kind, "event_id": each.event_id, "value": each.value.decode()} for each in studio.accepted]
    held = {
        "violations": [str(violation) for violation in performance.violations],
        "ends": performance.ends,
        "sent": sent,
        "statuses": statuses,
        "previews": evidence.previews,
        "requests": evidence.requests,
        "sites": {
            name: {
                "seen": site.seen,
                "objects": {"/".join(place): digest for place, digest in site.objects.items()},
                "unfinished": site.unfinished,
            }
            for name, site in evidence.sites.items()
        },
    }
    (stage.folder / "evidence.json").write_text(json.dumps(held, indent=1, default=str))


async def run(seed: int, faults: Sequence[Fault], rng: random.Random, *, folder: Path, own_mounts: bool, pace: float
              ) -> Performance:  # fmt: skip
    """One run with servers of its own."""
    async with AsyncExitStack() as resources:
        samples = await asyncio.to_thread(make_samples, folder / "samples")
        servers = await resources.enter_async_context(Servers(folder))
        stage = await resources.enter_async_context(open_stage(servers, f"f{seed}"[:30], own_mounts=own_mounts))
        say(f"{time.strftime('%H:%M:%S')} the stage is set in {folder}")
        dies = rng.choice(stage.mortal)
        return await perform(stage, samples, faults, rng, pace=pace, dies=dies)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="of the plan; default: a random one")
    parser.add_argument("--faults", type=int, default=200, help="how many (%(default)s)")
    parser.add_argument("--plan", action="store_true", help="print the plan, and run nothing")
    parser.add_argument("--pace", type=float, default=0.6, help="seconds between two steps of the flow (%(default)s)")
    parser.add_argument("--only", help="kinds of faults, by commas; default: all")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a run that passes, too")
    arguments = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    say(f"seed {seed}")
    no_mounts = may_mount()
    left_out = NEED_MOUNTS if no_mounts else frozenset()
    if arguments.only:
        left_out |= frozenset(KINDS) - frozenset(arguments.only.split(","))
    if no_mounts:
        say(f"{', '.join(sorted(NEED_MOUNTS))} are left out: {no_mounts}")
    rng = random.Random(seed)
    faults = plan_faults(rng, arguments.faults, left_out)
    if arguments.plan:
        _print_plan(faults, plan_flow(random.Random(rng.getrandbits(64)), arguments.pace))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that the broker is away is no news here
    folder = Path(tempfile.mkdtemp(prefix="rushes-faults-"))
    performance = asyncio.run(run(seed, faults, rng, folder=folder, own_mounts=not no_mounts, pace=arguments.pace))
    for end in performance.ends:
        say(f"a process ended by itself: {end}")
    for violation in performance.violations[:_SHOWN]:
        say(str(violation))
    if performance.violations:
        say(f"{len(performance.violations)} violations; logs and evidence.json are in {folder}")
    elif performance.ends:
        say(f"the logs are in {folder}")
    elif not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(performance.summary(seed)))
    return 1 if performance.violations else 0


def _print_plan(faults: Sequence[Fault], flow: Iterator[Step]) -> None:
    for fault in faults:
        print(fault)
    for step in islice(flow, 5 * len(faults)):
        print(f"    {step}")


if __name__ == "__main__":
    sys.exit(main())
