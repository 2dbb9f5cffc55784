"""What stands in deploy/ is what the services understand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings
from rushes_embedded.kafka_jars import KAFKA_VERSION
from rushes_kitsu.settings import KitsuSettings
from rushes_normalizer.api.settings import ApiSettings
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.settings import describe_settings, nest_variables
from rushes_syncer.settings import SyncerSettings

from tests.vm.compose import find_parser, parse

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = DEPLOY / "vm" / "systemd"
MISSING = find_parser()
# Of the files, not of the services: what `rushes-migrate` makes topics with.
NO_SETTINGS = {"PARTITIONS", "REPLICAS"}
COMPOSE = DEPLOY / "compose" / "compose.yaml"
FILLED = {
    "RUSHES_TAG": "1",
    "DATABASE_PASSWORD": "secret",
    "RUSHES_STORE": "/srv/rushes",
    "RUSHES_SCRATCH": "/var/cache/rushes",
}
COMPOSE_SERVICES: dict[str, type[BaseSettings]] = {
    **dict.fromkeys(("migrate", "control", "worker", "command"), NormalizerSettings),
    **dict.fromkeys(("kitsu-migrate", "kitsu", "kitsu-build", "kitsu-follow"), KitsuSettings),
    "api": ApiSettings,
}
SERVICES: dict[str, tuple[type[BaseSettings], list[str]]] = {
    "rushes-normalizer-control.service": (NormalizerSettings, ["settings", "secrets"]),
    "rushes-normalizer-worker@.service": (NormalizerSettings, ["settings", "secrets"]),
    "rushes-syncer@.service": (SyncerSettings, ["settings", "sites", "secrets"]),
    "rushes-kitsu.service": (KitsuSettings, ["settings", "kitsu", "secrets"]),
    "rushes-kitsu-build.service": (KitsuSettings, ["settings", "kitsu", "secrets"]),
    "rushes-kitsu-follow.service": (KitsuSettings, ["settings", "kitsu", "secrets"]),
    "rushes-api.service": (ApiSettings, ["settings", "api", "secrets"]),
}
PROPOSED: dict[str, type[BaseSettings]] = {
    "settings": NormalizerSettings,
    "secrets": KitsuSettings,
    "sites": SyncerSettings,
    "kitsu": KitsuSettings,
    "api": ApiSettings,
}
# Units that answer calls for a while after they were told to stop.
LINGERS = {
    "rushes-kitsu.service": KitsuSettings.model_fields["nomad_linger"].default,
    "rushes-api.service": ApiSettings.model_fields["api_linger"].default,
}
WORKS_ON_JOBS = {"rushes-normalizer-worker@.service", "rushes-syncer@.service", "rushes-kitsu-build.service"}
needs_parser = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.mark.parametrize("unit", SERVICES)
def test_a_units_settings_are_known_and_right(unit: str) -> None:
    model, files = SERVICES[unit]
    environment = dict(pair.split("=", 1) for pair in shlex.split(_service(unit)["Environment"].replace("%i", "1")))
    for file in files:
        environment |= _variables(DEPLOY / "vm" / "etc" / f"{file}.env")
    environment = {name: __file__ if name == "API_ACCESS_FILE" else value for name, value in environment.items()}
    _check(model, environment)
    assert _service(unit)["EnvironmentFile"] == [f"/etc/rushes/{file}.env" for file in files]


@pytest.mark.parametrize("unit", SERVICES)
def test_systemd_waits_for_longer_than_a_drain_takes_and_signals_only_the_service(unit: str) -> None:
    service = _service(unit)
    budget = re.search(r"DRAIN_BUDGET=(\d+)", service["Environment"])
    assert (budget is not None) == (unit in WORKS_ON_JOBS)
    assert int(service["TimeoutStopSec"]) > (int(budget[1]) if budget else LINGERS.get(unit, 0))
    assert service["KillMode"] == "mixed"


@pytest.mark.parametrize("file", PROPOSED)
def test_every_setting_that_a_file_proposes_is_one(file: str) -> None:
    proposed = _variables(DEPLOY / "vm" / "etc" / f"{file}.env", proposed=True)
    _check(PROPOSED[file], dict.fromkeys(proposed, "x"), whole=False)


def test_the_environment_of_the_tests_stands_in_for_what_the_page_installs() -> None:
    assert _pins(ROOT / "image" / "requirements.lock").items() <= _pins(ROOT / "requirements.lock").items()


@needs_parser
def test_the_compose_file_is_one_and_its_settings_are_known_and_right() -> None:
    model = parse(COMPOSE, FILLED)
    for name, settings in COMPOSE_SERVICES.items():
        environment: dict[str, str] = model["services"][name]["environment"]
        _check(settings, {key: __file__ if key == "API_ACCESS_FILE" else value for key, value in environment.items()})
    assert model["services"]["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


@needs_parser
def test_what_a_studio_may_do_without_is_off_until_its_profile_is_named() -> None:
    services = parse(COMPOSE, FILLED)["services"]
    own = {name: service["profiles"] for name, service in services.items() if service.get("profiles")}
    assert own == {
        "command": ["command"],
        "kitsu-migrate": ["kitsu", "kitsu-follow"],
        "kitsu": ["kitsu"],
        "kitsu-build": ["kitsu"],
        "kitsu-follow": ["kitsu-follow"],
        "api": ["api"],
    }
    named = _variables(DEPLOY / "compose" / "env.example", proposed=True)["COMPOSE_PROFILES"]
    assert set(named.split(",")) | {"command"} == {each for profiles in own.values() for each in profiles}


@needs_parser
def test_every_compose_service_that_stays_up_says_whether_it_started() -> None:
    for name, service in parse(COMPOSE, FILLED)["services"].items():
        assert ("healthcheck" in service) == (service["restart"] == "unless-stopped"), name


@needs_parser
@pytest.mark.parametrize("name", ["worker", "kitsu-build"])
def test_docker_waits_for_longer_than_a_drain_takes(name: str) -> None:
    service = parse(COMPOSE, FILLED)["services"][name]
    minutes = re.fullmatch(r"(\d+)m", service["stop_grace_period"])
    assert minutes
    assert int(minutes[1]) * 60 > int(service["environment"]["DRAIN_BUDGET"])


@needs_parser
@pytest.mark.parametrize("name", FILLED)
def test_a_compose_variable_that_is_not_given_is_asked_for(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}.*(tag|password|folder)"):
        parse(COMPOSE, {other: value for other, value in FILLED.items() if other != name})


def test_the_compose_example_names_what_must_be_given() -> None:
    assert set(FILLED) <= set(_variables(DEPLOY / "compose" / "env.example"))


def _check(model: type[BaseSettings], environment: dict[str, str], *, whole: bool = True) -> None:
    """Variables are settings of a model, and with `whole` all that it needs; a misspelt one would do nothing."""
    known = {re.sub("^SITES__NAME__", "SITES__LYON__", name) for name, _ in describe_settings(model)}
    known |= {name for name, _ in describe_settings(NormalizerSettings)}
    assert set(environment) - known - NO_SETTINGS == set()
    if whole:
        model(**nest_variables(environment))


def _service(unit: str) -> dict[str, Any]:
    """The section [Service]; a name that comes more than once has a list."""
    section: dict[str, Any] = {}
    for line in (UNITS / unit).read_text(encoding="utf-8").partition("[Service]")[2].partition("\n[")[0].splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            if name == "EnvironmentFile":
                section.setdefault(name, []).append(value.removeprefix("-"))
            else:
                section[name] = value
    return section


def _variables(file: Path, *, proposed: bool = False) -> dict[str, str]:
    """NAME=value of a file; with `proposed` those behind a `#` too."""
    lines = re.findall(rf"^{'#?' if proposed else ''}([A-Z_]+)=(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: "".join(shlex.split(value)) for name, value in lines}


def _pins(lock: Path) -> dict[str, frozenset[str]]:
    """Each `name==version` of a lock, with its hashes."""
    entries = re.findall(r"^(\S+==\S+)(.*?)(?=^\S|\Z)", lock.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return {pin: frozenset(re.findall(r"--hash=(\S+)", rest)) for pin, rest in entries}
