"""What a site takes, as its environment says it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from rushes_runtime.settings import SettingsError, load_settings
from rushes_schemas import ObjectKind
from rushes_syncer.settings import SyncerSettings

GIVEN = {
    "DATABASE_URL": "postgresql+asyncpg://u:p@h/d",
    "KAFKA__BOOTSTRAP_SERVERS": "h:1",
    "STORE__KIND": "s3",
    "SITES__LYON__KIND": "s3",
    "SITES__OSLO__KIND": "s3",
    "SKIP_BROKEN": "true",
}


def _settings(monkeypatch: pytest.MonkeyPatch, **more: str) -> SyncerSettings:
    for name, value in {**GIVEN, **more}.items():
        monkeypatch.setenv(name, value)
    return load_settings(SyncerSettings)


def test_a_site_takes_the_projects_kinds_ages_and_bandwidth_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = uuid4(), uuid4()
    settings = _settings(
        monkeypatch,
        SITES__LYON__PROJECTS=f"{one}, {two}",
        SITES__LYON__KINDS="low_definition,thumbnail",
        SITES__LYON__MAX_AGE="86400",
        SITES__LYON__BANDWIDTH="1.5M",
        SITES__OSLO__PROJECTS=str(one),
    )
    lyon, oslo = settings.rules_of("lyon"), settings.rules_of("oslo")
    assert lyon.projects == frozenset([one, two])
    assert lyon.kinds == frozenset([ObjectKind.LOW_DEFINITION, ObjectKind.THUMBNAIL])
    assert lyon.max_age == timedelta(days=1)
    assert [settings.sites[name].bandwidth for name in ("lyon", "oslo")] == [1536 * 1024, None]
    assert (oslo.projects, oslo.kinds, oslo.max_age) == (frozenset([one]), None, None)
    assert lyon.skip_broken
    assert oslo.skip_broken


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROJECTS", "bunny"),
        ("PROJECTS", ","),
        ("KINDS", "lowdef"),
        ("MAX_AGE", "0"),
        ("BANDWIDTH", "fast"),
        ("BANDWIDTH", "0"),
    ],
)
def test_what_no_site_can_take_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"SITES__LYON__{name}"):
        _settings(monkeypatch, **{f"SITES__LYON__{name}": value})
