"""docs/vm.md is walked from a bare machine to a working pipeline, a restore and an upgrade, on a real systemd.

Each test walks as far as it needs, from where the one before it stands. The commands are the page's, but for the two
that download Python packages: those that the tests themselves run with stand in. Debian's packages are installed
before, and Kafka's archive holds the jars that Maven has of the same version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from PIL import Image

from tests.unit.kitsu.zou_payloads import dispatch_body, movie_payload
from tests.vm.machine import Machine
from tests.vm.walk import Walk, bare_machine, find_walk

MISSING = find_walk()
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(MISSING is not None, reason=f"docs/vm.md cannot be walked here: {MISSING}"),
]

WORKER = "rushes-normalizer-worker@1"
KITSU = ("rushes-kitsu", "rushes-kitsu-build", "rushes-kitsu-follow")
NOMAD = "http://127.0.0.1:4646/v1/job"
FFMPEG = (
    "$(/opt/rushes/current/bin/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')"
    " -nostdin -v error -f lavfi -i"
)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A machine on which nothing of the page is done yet."""
    picture = tmp_path_factory.mktemp("pictures") / "still.png"
    Image.new("RGB", (320, 180), "teal").save(picture)
    with bare_machine(tmp_path_factory.mktemp("vm")) as machine:
        machine.put("/tmp/still.png", picture.read_bytes())
        yield Walk(machine)


def test_the_first_uploads_become_ready_in_a_confined_worker(walk: Walk) -> None:
    walk.to("Start")
    machine = walk.machine
    machine.do("rushes-normalizer publish --wait /tmp/still.png")
    assert _previews(machine) == {"first": "ready", "still": "ready"}
    assert "landlock_abi" in machine.do(f"journalctl --unit {WORKER} --output cat | grep '\"sandbox\"'")


def test_secrets_are_roots_alone(walk: Walk) -> None:
    walk.to("Settings")
    machine = walk.machine
    assert machine.do("stat --format '%a %U' /etc/rushes/secrets.env").strip() == "600 root"
    assert machine.run("runuser --user rushes -- cat /etc/rushes/secrets.env").returncode == 1


def test_a_second_site_gets_what_was_made_before(walk: Walk) -> None:
    walk.to("A second site")
    id_of_first = _query(walk.machine, "SELECT id FROM normalizer.preview_file WHERE name = 'first'")
    copy = f"/srv/rushes/lyon/movies/lowdef/{id_of_first[0:3]}/{id_of_first[3:6]}/{id_of_first}"
    walk.machine.eventually(f"test -s {copy} && stat --format %U {copy}", "rushes")


def test_a_kitsu_server_on_the_machine_gets_a_movie_made_in_the_folder_that_both_write(walk: Walk) -> None:
    walk.to("Start")
    machine = walk.machine
    machine.do("useradd --system --groups rushes zou")
    walk.to("A Kitsu server")
    preview, folder = uuid4(), "/srv/rushes/main"
    parts = f"{str(preview)[0:3]}/{str(preview)[3:6]}/{preview}"
    source = f"{folder}/movies/source/{parts}"
    _as_zou(machine, f"mkdir --parents $(dirname {source}); cp /tmp/first.mp4 {source}")
    payload = movie_payload(preview, FS_BACKEND="local", FS_ROOT=folder, FS_BUCKET_PREFIX="", height=180)
    machine.put("/tmp/dispatch.json", dispatch_body(payload))
    asked = f"curl --fail --silent --data @/tmp/dispatch.json {NOMAD}/rushes-normalize/dispatch"
    machine.eventually("curl --silent --output /dev/null --write-out %{http_code} 127.0.0.1:9460/startupz", "200")
    job = json.loads(machine.do(asked))["DispatchedJobID"]
    counted = f"curl --fail --silent {NOMAD}/{job}/summary | grep --only-matching '\"Complete\": [0-9]'"
    machine.eventually(counted, '"Complete": 1')
    # Zou reads what was made, and writes beside it.
    made = f"{folder}/pictures/thumbnails/{parts}"
    _as_zou(machine, f"test -s {folder}/movies/lowdef/{parts} && cp {made} {made}-of-zou && cp {made}-of-zou {made}")
    for port in (9460, 9461, 9462):
        machine.eventually(f"curl --silent --fail --output /dev/null 127.0.0.1:{port}/startupz && echo yes", "yes")
    # No Zou is here: who follows one waits for it.
    assert "zou_away" in machine.do("journalctl --unit rushes-kitsu-follow --output cat")
    assert "ZOU_DATABASE_URL is not set" in machine.run("rushes-kitsu import --dry-run").stderr


def test_the_read_api_answers_who_shows_a_token_and_nobody_else(walk: Walk) -> None:
    walk.to("The read API")
    machine = walk.machine
    code = "curl --silent --output /dev/null --write-out %{http_code} 'http://127.0.0.1:8080/previews?limit=1'"
    assert machine.do(code) == "401"
    shown = "--header \"Authorization: Bearer $(sed -n 's/^token: //p' /root/review-wall.token)\""
    answer = json.loads(machine.do(f"curl --fail --silent {shown} 'http://127.0.0.1:8080/previews?limit=1'"))
    assert answer["previews"][0]["preview"]["status"] == "ready"
    assert machine.do("stat --format '%a %U %G' /etc/rushes/access.json").strip() == "640 root rushes"


def test_every_process_answers_its_probe(walk: Walk) -> None:
    walk.to("The read API")
    for port in (9480, 9491, 9470, 9460, 9461, 9462, 9450):
        walk.machine.eventually(f"curl --silent --fail --output /dev/null 127.0.0.1:{port}/startupz && echo yes", "yes")
    walk.to("Watching")


def test_a_worker_that_is_stopped_ends_its_job_first(walk: Walk) -> None:
    walk.to("Start")
    machine = walk.machine
    machine.do(f"{FFMPEG} testsrc2=size=1280x720:duration=20 -pix_fmt yuv420p /tmp/long.mp4 </dev/null")
    machine.do("rushes-normalizer publish --height 720 /tmp/long.mp4")
    _eventually(machine, "SELECT state FROM normalizer.task WHERE state = 'running'", "running")
    machine.do(f"systemctl stop {WORKER}")
    assert _previews(machine)["long"] == "ready"
    assert machine.do(f"systemctl show --property Result --value {WORKER}").strip() == "success"
    id_of_long = _query(machine, "SELECT id FROM normalizer.preview_file WHERE name = 'long'")
    attempts = json.loads(machine.do(f"rushes-normalizer history {id_of_long} --json"))["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["done"]
    machine.do(f"systemctl start {WORKER}")


def test_a_service_that_is_killed_comes_back_and_one_that_refuses_its_settings_does_not(walk: Walk) -> None:
    walk.to("Start")
    machine = walk.machine
    before = _pid(machine, WORKER)
    machine.do(f"systemctl kill --kill-whom=main --signal=KILL {WORKER}")
    machine.eventually(f"systemctl show --property NRestarts --value {WORKER}", "1")
    machine.eventually(f"systemctl is-active {WORKER}", "active")
    assert _pid(machine, WORKER) != before
    machine.do("echo LEASE=soon >>/etc/rushes/secrets.env; systemctl start rushes-normalizer-worker@2")
    machine.eventually("systemctl is-failed rushes-normalizer-worker@2", "failed")
    assert "LEASE" in machine.do("journalctl --unit rushes-normalizer-worker@2 --output cat")
    machine.do("sed -i /^LEASE=/d /etc/rushes/secrets.env; systemctl reset-failed")


def test_what_happened_after_the_backup_is_there_after_the_restore(walk: Walk) -> None:
    walk.to("Backup")
    machine = walk.machine
    machine.do("cp /tmp/still.png /tmp/later.png; rushes-normalizer publish --wait /tmp/later.png")
    known = _previews(machine)
    walk.to("Restore")
    assert _previews(machine) == known
    machine.do("cp /tmp/still.png /tmp/after.png; rushes-normalizer publish --wait /tmp/after.png")
    id_of_later = _query(machine, "SELECT id FROM normalizer.preview_file WHERE name = 'later'")
    assert _query(machine, f"SELECT version > 2 FROM normalizer.preview_file WHERE id = '{id_of_later}'") == "t"


def test_an_upgrade_moves_every_service_to_the_new_version(walk: Walk) -> None:
    walk.to("Restore")
    machine = walk.machine
    walk.next_block()
    walk.again("Install")
    units = ("rushes-normalizer-control", WORKER, "rushes-syncer@lyon", *KITSU, "rushes-api")
    assert {_version(machine, unit) for unit in units} == {"0.1.0"}
    walk.to("Upgrade")
    assert {_version(machine, unit) for unit in units} == {"0.2.0"}
    machine.do("cp /tmp/still.png /tmp/newer.png; rushes-normalizer publish --wait /tmp/newer.png")


def test_units_are_confined_as_far_as_their_work_allows(walk: Walk) -> None:
    walk.to("Start")
    machine = walk.machine
    installed = "/etc/systemd/system/rushes* /etc/systemd/system/kafka.service"
    assert machine.do(f"systemd-analyze verify $(ls -d {installed} | grep -E 'service$|target$|timer$') 2>&1") == ""
    services = ("rushes-normalizer-control", WORKER, "rushes-syncer@lyon", "rushes-migrate", "rushes-backup", "kafka")
    for unit in (*services, *KITSU, "rushes-api"):
        said = machine.do(f"systemd-analyze security --no-pager {unit}.service")
        exposure = re.search(r"exposure level for \S+: ([\d.]+)", said)
        assert exposure
        assert float(exposure[1]) <= 1.5, said


def _previews(machine: Machine) -> dict[str, str]:
    """The statuses of previews, by the names that `publish` gave them."""
    named = "SELECT name || ' ' || status FROM normalizer.preview_file WHERE name IS NOT NULL"
    lines = _query(machine, named).splitlines()
    return dict(line.split() for line in lines)


def _query(machine: Machine, statement: str) -> str:
    return machine.do(f'runuser --user rushes -- psql --no-align --tuples-only --command "{statement}"').strip()


def _eventually(machine: Machine, statement: str, wanted: str) -> None:
    machine.eventually(f'runuser --user rushes -- psql --no-align --tuples-only --command "{statement}"', wanted)


def _as_zou(machine: Machine, script: str) -> None:
    """Run what a Kitsu server on the machine does."""
    machine.do(f"runuser --user zou -- sh -euc 'umask 0007; {script}'")


def _version(machine: Machine, unit: str) -> str:
    """The folder that a service was started from."""
    command = machine.do(f"tr '\\0' ' ' </proc/{_pid(machine, unit)}/cmdline")
    return command.split("/opt/rushes/")[1].split("/")[0]


def _pid(machine: Machine, unit: str) -> str:
    return machine.do(f"systemctl show --property MainPID --value {unit}").strip()
