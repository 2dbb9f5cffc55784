"""Settings come from the environment; wrong ones are refused all at once, in plain words."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

import pytest
from pydantic_settings import BaseSettings
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.commands import settings_table
from rushes_runtime.settings import SettingsError, SettingsModel, describe_settings, load_settings
from rushes_syncer.settings import SyncerSettings

SECRET = "hunter2"
GOOD = {
    "DATABASE_URL": f"postgresql+asyncpg://rushes:{SECRET}@db:5432/rushes",
    "KAFKA__BOOTSTRAP_SERVERS": "kafka:9092",
    "STORE__KIND": "local",
    "STORE__ROOT": "/srv/previews",
}
SITE = {"SITES__BERLIN__KIND": "local", "SITES__BERLIN__ROOT": "/srv/berlin"}
BOTH = pytest.mark.parametrize("model", [NormalizerSettings, SyncerSettings])


def _load(model: type[SettingsModel], environment: dict[str, str]) -> SettingsModel:
    with patch.dict(os.environ, environment, clear=True):
        return load_settings(model)


def _complaints(model: type[BaseSettings], environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        _load(model, environment)
    first, *lines = str(refused.value).splitlines()
    assert first == "These settings cannot be used:"
    return [line.strip() for line in lines]


def test_nested_names_reach_their_place() -> None:
    settings = _load(
        SyncerSettings,
        {**GOOD, **SITE, "KAFKA__BATCH_RECORDS": "50", "SITES__OSLO__KIND": "s3", "SITES__OSLO__REGION": "eu-north-1"},
    )
    assert settings.kafka.batch_records == 50
    assert settings.store.root == Path("/srv/previews")
    assert settings.sites["berlin"].root == Path("/srv/berlin")
    assert settings.sites["oslo"].region == "eu-north-1"


def test_defaults_are_enough_beside_the_required_ones() -> None:
    settings = _load(NormalizerSettings, GOOD)
    assert (settings.instance, settings.expose_missing, settings.keep_playable) == ("rushes", False, False)


def test_every_missing_value_is_named_with_its_meaning() -> None:
    assert _complaints(NormalizerSettings, {}) == [
        "DATABASE_URL is not set: `postgresql+asyncpg://user:password@host:port/database`; **required**, unless its "
        "file is given.",
        "KAFKA__BOOTSTRAP_SERVERS is not set: Brokers to start from, `host:port,host:port`.",
        "STORE__KIND is not set: `s3` or `local`.",
    ]


def test_missing_sites_are_named() -> None:
    assert [line.split()[0] for line in _complaints(SyncerSettings, GOOD)] == ["SITES__NAME__KIND"]


def test_a_site_without_its_kind_is_named() -> None:
    (line,) = _complaints(SyncerSettings, {**GOOD, "SITES__BERLIN__ROOT": "/srv/berlin"})
    assert line.startswith("SITES__BERLIN__KIND is not set")


def test_every_wrong_value_is_reported_at_once() -> None:
    wrong = {
        "SLOTS": "many",
        "LOG_LEVEL": "loud",
        "INSTANCE": "Has Spaces",
        "KAFKA__SECURITY_PROTOCOL": "TELNET",
        "STORE__KIND": "ftp",
        "PRESET": "warp",
        "HIGHDEF_BITRATE": "28",
        "DEFAULT_FPS": "film",
        "OPERATIONS_PORT": "70000",
        "MOVIE_EXTENSIONS": "mp4, mov",
    }
    lines = _complaints(NormalizerSettings, {**GOOD, **wrong})
    assert {line.split(":")[0] for line in lines} == set(wrong)
    for line in lines:
        name = line.split(":")[0]
        assert line.endswith(f"(given: {wrong[name]!r})")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"LEASE": "14"}, "LEASE (14 s) must be at least three times HEARTBEAT (5 s)"),
        (
            {"LEASE": "29", "JANITOR_INTERVAL": "10"},
            "LEASE (29 s) must be at least three times JANITOR_INTERVAL (10 s)",
        ),
        ({"STORE__KIND": "local", "STORE__ROOT": None}, "STORE: a local store needs its ROOT folder"),
        ({"STORE__ACCESS_KEY_ID": "key"}, "STORE: ACCESS_KEY_ID and SECRET_ACCESS_KEY, or their files, go together"),
        (
            {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_USERNAME": "rushes"},
            "KAFKA: a SASL protocol needs KAFKA__SASL_USERNAME and KAFKA__SASL_PASSWORD or KAFKA__SASL_PASSWORD_FILE",
        ),
        ({"KAFKA": "nope"}, 'error parsing value for field "kafka" from source "EnvSettingsSource"'),
    ],
    ids=str,
)
def test_values_that_do_not_go_together_are_explained(changes: dict[str, str | None], line: str) -> None:
    environment = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    assert _complaints(NormalizerSettings, environment) == [line]


@BOTH
def test_secrets_are_not_printed(model: type[BaseSettings]) -> None:
    environment = {
        **GOOD,
        **SITE,
        "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA__SASL_USERNAME": "rushes",
        "KAFKA__SASL_PASSWORD": SECRET,
        "STORE__ACCESS_KEY_ID": "key",
        "STORE__SECRET_ACCESS_KEY": SECRET,
    }
    settings = _load(model, environment)
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"
    with pytest.raises(SettingsError) as refused:
        _load(model, {**environment, "SLOTS": "many", "STORE__SECRET_ACCESS_KEY": "", "STORE__ENDPOINT_URL": SECRET})
    assert SECRET not in str(refused.value)


@BOTH
def test_every_variable_is_described(model: type[BaseSettings]) -> None:
    for variable, field in describe_settings(model):
        assert field.description, variable
        assert f"| `{variable}` |" in settings_table(model)


@BOTH
def test_settings_cannot_be_changed_once_read(model: type[BaseSettings]) -> None:
    settings = _load(model, {**GOOD, **SITE})
    with pytest.raises(ValueError, match="frozen"):
        settings.__setattr__("slots", 9)
