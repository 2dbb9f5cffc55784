"""The image itself. A container has no network, no capabilities, and a root that it cannot write."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.image.archive import Archive
from tests.image.container import USER, Container
from tests.image.environment import environment

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) or "valid")
"""


def certificates(path: Path) -> set[str]:
    """The certificates in a PEM file."""
    return {
        "".join(body.split())
        for body in re.findall(r"BEGIN CERTIFICATE-----(.*?)-----END", path.read_text(), re.DOTALL)
    }


def test_it_is_smaller_than_400_megabytes_unpacked(archive: Archive) -> None:
    assert sum(layer.size for layer in archive.layers) < 400 * MEGABYTE


def test_an_update_of_rushes_is_a_small_layer(archive: Archive) -> None:
    assert archive.layers[-1].size < 30 * MEGABYTE


@pytest.mark.parametrize("command", ["rushes-normalizer", "rushes-syncer", "rushes-kitsu"])
def test_its_commands_answer(container: Container, command: str) -> None:
    ended = container.run(command, "migrate", "--help")
    assert ended.code == 0, ended.err
    assert "--topics" in ended.out


def test_its_read_api_finds_all_that_it_imports(container: Container) -> None:
    loads = (
        "import uvicorn; from rushes_normalizer.api import wiring; "
        "from rushes_normalizer.api.application import make_application, openapi_text; openapi_text(); "
        "uvicorn.Config(make_application(None, expose_missing=False), http='h11', ws='none', lifespan='off').load()"
    )
    ended = container.run("python3", "-c", loads)
    assert ended.code == 0, ended.err


def test_it_makes_previews_as_any_number_with_a_root_that_it_cannot_write(container: Container) -> None:
    program = (ROOT / "tests" / "image" / "previews_inside.py").read_text()
    ended = container.run("python3", "-c", program)
    assert ended.code == 0, ended.err
    said = json.loads(ended.out.splitlines()[-1])
    made = said["made"]
    assert {"high_definition", "low_definition", "thumbnail", "tile"} <= set(made.pop("movie"))
    assert len(made) == 6
    for picture in made.values():
        assert {"original", "thumbnail", "square_thumbnail", "preview_picture"} == set(picture)
        assert min(picture.values()) > 0
    assert re.match(r"n?9\.", said["ffmpeg"])


def test_wrong_settings_are_said_in_a_line_each(container: Container) -> None:
    ended = container.run("rushes-normalizer", "run")
    assert ended.code == 2
    assert "DATABASE_URL" in ended.err
    assert "KAFKA__BOOTSTRAP_SERVERS" in ended.err


def test_it_has_no_shell_and_no_package_manager(root: Path) -> None:
    programs = {
        path.name
        for folder in ("usr/bin", "usr/sbin", "opt/rushes/bin", "usr/local/bin")
        for path in (root / folder).glob("*")
    }
    ours = {f"rushes-{name}" for name in ("normalizer", "syncer", "kitsu", "schemas")}
    assert programs == {"python", "python3", "python3.11"} | ours


def test_no_file_gives_rights_or_can_be_changed(root: Path) -> None:
    found = []
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            mode = (Path(folder) / name).lstat().st_mode
            path = str((Path(folder) / name).relative_to(root))
            if stat.S_ISLNK(mode) or path in {"tmp", "var/tmp", "var/lock"}:
                continue
            if mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH) and not path.startswith("var/"):
                found.append(path)
    assert found == []


def test_its_user_is_a_number(archive: Archive) -> None:
    user, group = archive.config["config"]["User"].split(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    assert int(user) != USER


def test_its_labels_say_what_it_is(archive: Archive) -> None:
    labels = archive.config["config"]["Labels"]
    told = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    assert told["title"] == "Rushes"
    assert f'version = "{told["version"]}"' in (ROOT / "services/runtime/pyproject.toml").read_text()
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", told["revision"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["created"])
    assert told["description"]


def test_it_carries_nothing_of_the_machine_that_built_it(root: Path) -> None:
    """No authority that only this machine trusts, no pip.conf, no downloads."""
    machine = Path("/etc/ssl/certs/ca-certificates.crt")
    theirs = certificates(machine) if machine.exists() else set()
    public = {each for path in Path("/usr/share/ca-certificates/mozilla").glob("*.crt") for each in certificates(path)}
    trusted = certificates(root / "etc/ssl/certs/ca-certificates.crt")
    assert len(trusted) > 100
    assert not trusted & (theirs - public)
    assert not (root / "etc/pip.conf").exists()
    assert not (root / "root/.cache").exists()


def test_its_sbom_is_valid_cyclonedx(root: Path) -> None:
    sbom = (root / "usr/share/sbom/rushes.cdx.json").read_text()
    ran = subprocess.run(
        [environment() / "python", "-c", VALIDATE], input=sbom, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "valid"


def test_its_sbom_lists_all_that_is_in_it(root: Path) -> None:
    components = json.loads((root / "usr/share/sbom/rushes.cdx.json").read_text())["components"]
    listed = {(component["name"], component["version"]) for component in components}
    wheels = {
        tuple(path.name.removesuffix(".dist-info").lower().replace("_", "-").rsplit("-", 1))
        for path in (root / "opt/rushes/lib/python3.11/site-packages").glob("*.dist-info")
    }
    debian = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir()}
    assert len(wheels) > 40
    assert wheels <= {(name.replace(".", "-"), version) for name, version in listed}
    assert debian == set((ROOT / "image/debian-packages.txt").read_text().split())
    assert debian <= {name for name, _ in listed}
    programs = {inner["name"]: inner for component in components for inner in component.get("components", [])}
    assert programs["ffmpeg"]["cpe"].startswith("cpe:2.3:a:ffmpeg:ffmpeg:9.")
    assert programs["ffprobe"]["cpe"].startswith("cpe:2.3:a:ffmpeg:ffmpeg:8.")


def test_a_second_build_gives_the_same_bytes(archive: Archive, tmp_path: Path) -> None:
    """From the sources alone: nothing of the first build is used but what pip has downloaded."""
    again = {**os.environ, "TAG": "localhost/rushes-again:test"}
    built = subprocess.run(
        [ROOT / "image" / "build", tmp_path, "--no-cache"], env=again, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr[-2000:]
    second = Archive.read(tmp_path / "rushes.tar")
    assert [layer.digest for layer in second.layers] == [layer.digest for layer in archive.layers]
    assert second.config == archive.config
