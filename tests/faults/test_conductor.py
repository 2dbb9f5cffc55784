"""The conductor's plan, and a short run of it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from rushes_embedded.kafka_jars import find_apache_kafka

from tests.faults.kinds import DOINGS
from tests.faults.mutants import MUTANTS
from tests.faults.plan import KINDS, plan_faults, plan_flow
from tests.faults.toxiproxy import find_toxiproxy
from tests.faults.violations import PROMISES
from tests.pace import pace

ROOT = Path(__file__).parents[2]
SEED, FAULTS = 11, 25
LACKING = find_apache_kafka() or find_toxiproxy()


def test_a_seed_means_one_plan_of_faults_and_flow() -> None:
    def plan() -> object:
        rng = random.Random(7)
        return plan_faults(rng, 100), list(islice(plan_flow(rng), 300))

    assert plan() == plan()


def test_every_kind_of_fault_comes_once_before_any_comes_again() -> None:
    planned = [fault.kind for fault in plan_faults(random.Random(3), len(KINDS))]
    assert sorted(planned) == sorted(KINDS)


def test_whatever_is_planned_can_be_done() -> None:
    directed = {fault.kind for mutant in MUTANTS.values() for fault in mutant.faults}
    assert set(KINDS) | directed == set(DOINGS)


@pytest.mark.alone
@pytest.mark.skipif(LACKING is not None, reason=f"faults need Apache Kafka and toxiproxy: {LACKING}")
def test_twenty_five_faults_leave_nothing_stuck_lost_or_invented() -> None:
    command = [sys.executable, "-m", "tests.faults.conductor", "--seed", str(SEED), "--faults", str(FAULTS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200 * pace(), check=False)
    assert done.returncode == 0, done.stderr[-8000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["faults"] == FAULTS
    assert {promise: figures[promise] for promise in PROMISES} == dict.fromkeys(PROMISES, 0)
