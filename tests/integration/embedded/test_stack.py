import json
import os
import signal
import subprocess
from pathlib import Path

import asyncpg
import psutil
import pytest
from rushes_embedded.broker import Topic
from rushes_embedded.leash import StartError
from rushes_embedded.stack import Stack

from tests.integration.embedded.deadline import is_gone, until
from tests.integration.embedded.owner import answer, running_owner

OWNER = """
import sys, time
from pathlib import Path
from rushes_embedded.stack import Stack
try:
    with Stack(Path(sys.argv[1])) as stack:
        print(stack.postgres.pid, stack.objects.pid, stack.broker.pid, flush=True)
        time.sleep(600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


OWNER_OF_SLOW_SERVER = """
import sys, time
from pathlib import Path
from rushes_embedded.leash import Leash
slow = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
leash = Leash([sys.executable, "-c", slow], log=Path(sys.argv[1]), grace_seconds=3)
leash.start()
print(leash.pid, flush=True)
time.sleep(600)
"""


def _servers(owner: subprocess.Popen[str]) -> list[int]:
    """The processes of the stack that `owner` says it runs, with all that they started."""
    pids = [int(pid) for pid in answer(owner).split()]
    assert len(pids) == 3
    return pids + [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]


async def _databases(stack: Stack) -> set[str]:
    connection = await asyncpg.connect(stack.postgres.url.replace("+asyncpg", ""))
    try:
        return {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
    finally:
        await connection.close()


@pytest.mark.extended
async def test_two_stacks_run_side_by_side(tmp_path: Path) -> None:
    with Stack(tmp_path / "one", topics=[Topic("topic")]) as one, Stack(tmp_path / "two") as two:
        one.postgres.create_database("of_one")
        assert "of_one" in await _databases(one)
        assert "of_one" not in await _databases(two)
        assert one.broker.bootstrap_servers != two.broker.bootstrap_servers
        assert one.objects.endpoint_url != two.objects.endpoint_url


async def test_a_start_begins_with_nothing(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        stack.postgres.create_database("before")
    with Stack(tmp_path) as stack:
        assert "before" not in await _databases(stack)


@pytest.mark.extended
def test_a_second_stack_in_one_folder_is_told_who_has_it(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        with (
            pytest.raises(StartError, match=rf"runs in {tmp_path} already, of the process {os.getpid()}$"),
            Stack(tmp_path),
        ):
            pass
        stack.postgres.create_database("still_there")


async def test_nothing_outlives_a_killed_owner_and_the_next_start_works(tmp_path: Path) -> None:
    with running_owner(OWNER, tmp_path) as owner:
        servers = _servers(owner)
        sockets = [Path(path) for path in json.loads((tmp_path / "objects" / "sockets.json").read_text())]
        owner.kill()
        with Stack(tmp_path) as stack:
            assert all(is_gone(pid) for pid in servers)
            assert "postgres" in await _databases(stack)
    assert not any(socket.exists() for socket in sockets)


@pytest.mark.extended
def test_a_start_waits_for_a_killed_owners_slow_server(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "postgres.log"
    with running_owner(OWNER_OF_SLOW_SERVER, log) as owner:
        slow = int(answer(owner))
        until(lambda: "ready" in log.read_text())
        owner.kill()
        with Stack(tmp_path):
            assert is_gone(slow)


def test_an_owner_killed_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    with running_owner(OWNER, tmp_path) as owner:
        until(lambda: len(psutil.Process(owner.pid).children(recursive=True)) >= 4)
        started = psutil.Process(owner.pid).children(recursive=True)
        owner.kill()
        until(lambda: all(is_gone(process.pid) for process in started))
    with Stack(tmp_path):
        pass


def test_ctrl_c_stops_everything_in_order(tmp_path: Path) -> None:
    with running_owner(OWNER, tmp_path) as owner:
        servers = _servers(owner)
        os.killpg(owner.pid, signal.SIGINT)
        assert answer(owner) == "interrupted"
        assert all(is_gone(pid) for pid in servers)
    assert "received fast shutdown request" in (tmp_path / "logs" / "postgres.log").read_text()


def test_the_end_leaves_the_logs_and_no_data(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "logs"}
    assert {path.name for path in stack.logs.iterdir()} == {"postgres.log", "objects.log", "broker.log"}
    assert "ready to accept connections" in (stack.logs / "postgres.log").read_text()


@pytest.mark.extended
def test_when_one_server_cannot_start_none_stays(tmp_path: Path) -> None:
    stack = Stack(tmp_path, topics=[Topic("impossible", partitions=-1)])
    with pytest.raises(StartError, match="the embedded broker ended with code 1"), stack:
        pass
    assert all(is_gone(server.pid) for server in (stack.postgres, stack.objects, stack.broker))
    with Stack(tmp_path):
        pass


def test_an_error_inside_stops_everything(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Stack(tmp_path) as stack:
        raise ZeroDivisionError
    assert all(is_gone(server.pid) for server in (stack.postgres, stack.objects, stack.broker))
