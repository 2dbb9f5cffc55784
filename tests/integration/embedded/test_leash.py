import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from rushes_embedded.leash import Leash, StartError, log_tail

from tests.integration.embedded.deadline import is_gone, until
from tests.integration.embedded.owner import answer, running_owner

MakeLeash = Callable[..., Leash]

# Says when it is ready, then waits to be ended.
WAITING = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITING}"
WITH_OFFSPRING = (
    "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); child.wait()"
)

OWNER = """
import sys, time
from pathlib import Path
from rushes_embedded.leash import Leash
leash = Leash([sys.executable, "-c", sys.argv[1]], log=Path(sys.argv[2]), grace_seconds=0.5)
leash.start()
try:
    print(leash.pid, flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print(leash.poll(), flush=True)
    print(leash.stop(), flush=True)
"""


@pytest.fixture
def make_leash(tmp_path: Path) -> Iterator[MakeLeash]:
    made: list[Leash] = []

    def make(program: str, *, name: str = "server", grace_seconds: float = 10.0) -> Leash:
        leash = Leash([sys.executable, "-c", program], log=tmp_path / f"{name}.log", grace_seconds=grace_seconds)
        made.append(leash)
        leash.start()
        return leash

    yield make
    for leash in made:
        leash.stop()


def _says(log: Path, text: str) -> bool:
    return log.exists() and text in log.read_text()


def test_a_command_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    with running_owner(OWNER, WAITING, tmp_path / "log") as owner:
        pid = int(answer(owner))
        leash = psutil.Process(pid).ppid()
        owner.kill()
        until(lambda: is_gone(pid) and is_gone(leash))


def test_a_command_ends_when_its_owners_whole_process_group_is_killed(tmp_path: Path) -> None:
    with running_owner(OWNER, WAITING, tmp_path / "log") as owner:
        pid = int(answer(owner))
        os.killpg(owner.pid, signal.SIGKILL)
        until(lambda: is_gone(pid))


def test_a_command_that_ignores_its_stop_signal_is_killed_after_the_grace_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_owner(OWNER, STUBBORN, log) as owner:
        pid = int(answer(owner))
        until(lambda: _says(log, "ready"))
        owner.kill()
        until(lambda: is_gone(pid))


def test_what_a_command_started_ends_with_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_owner(OWNER, WITH_OFFSPRING, log) as owner:
        pid = int(answer(owner))
        until(lambda: _says(log, "\n"))
        offspring = int(log.read_text())
        owner.kill()
        until(lambda: is_gone(pid) and is_gone(offspring))


def test_what_a_crashed_command_leaves_behind_is_ended(make_leash: MakeLeash) -> None:
    leash = make_leash(WITH_OFFSPRING)
    until(lambda: _says(leash.log, "\n"))
    offspring = int(leash.log.read_text())
    os.kill(leash.pid, signal.SIGKILL)
    until(lambda: is_gone(offspring))
    assert leash.wait() == 128 + signal.SIGKILL


def test_ctrl_c_reaches_the_owner_and_not_the_command(tmp_path: Path) -> None:
    with running_owner(OWNER, WAITING, tmp_path / "log") as owner:
        pid = int(answer(owner))
        os.killpg(owner.pid, signal.SIGINT)
        assert answer(owner) == "None", "the command still ran when its owner heard of Ctrl-C"
        assert answer(owner) == str(128 + signal.SIGTERM)
        assert is_gone(pid)


def test_each_of_several_commands_is_stopped_alone(make_leash: MakeLeash) -> None:
    first, second, third = (make_leash(WAITING, name=name) for name in ("first", "second", "third"))
    # By its own signal, not killed for want of one: no other leash holds the first one's pipe.
    assert first.stop() == 128 + signal.SIGTERM
    assert second.poll() is None
    assert third.stop() == 128 + signal.SIGTERM
    assert second.poll() is None


def test_a_command_outlives_neither_a_killed_leash_nor_its_stop(make_leash: MakeLeash) -> None:
    leash = make_leash(WAITING)
    psutil.Process(leash.pid).parent().kill()  # type: ignore[union-attr]  # its leash is its parent
    leash.stop()
    until(lambda: is_gone(leash.pid))


def test_a_leash_takes_no_stray_sigterm(make_leash: MakeLeash) -> None:
    leash = make_leash(WAITING)
    guard = psutil.Process(leash.pid).parent()
    assert guard is not None
    guard.terminate()
    assert leash.stop() == 128 + signal.SIGTERM


def test_stop_with_a_time_out_does_not_wait_for_the_grace_time(make_leash: MakeLeash) -> None:
    leash = make_leash(STUBBORN, grace_seconds=300)
    until(lambda: _says(leash.log, "ready"))
    assert leash.stop(timeout=0.1) == 128 + signal.SIGKILL


def test_the_exit_code_is_the_commands(make_leash: MakeLeash) -> None:
    leash = make_leash("raise SystemExit(7)")
    until(lambda: leash.poll() is not None)
    assert leash.poll() == 7


def test_output_and_errors_go_to_the_log(make_leash: MakeLeash) -> None:
    leash = make_leash("import sys; print('to stdout', flush=True); print('to stderr', file=sys.stderr)")
    assert leash.wait() == 0
    assert log_tail(leash.log) == "to stdout\nto stderr"


def test_a_command_that_cannot_be_executed_says_why(tmp_path: Path) -> None:
    leash = Leash([tmp_path / "no-such-program"], log=tmp_path / "log")
    with pytest.raises(StartError, match=r"no-such-program: .*No such file"):
        leash.start()


def test_a_command_waits_for_the_end_of_the_one_before_it_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_owner(OWNER, STUBBORN, log) as owner:
        before = int(answer(owner))
        until(lambda: _says(log, "ready"))
        owner.kill()
        after = Leash([sys.executable, "-c", "pass"], log=log)
        after.start()
        assert is_gone(before)
        after.stop()
