"""What cannot be right ends a process at its start, in a sentence."""

from __future__ import annotations

import subprocess

import pytest
from rushes_embedded.studio import command_of

SETTINGS = {
    "DATABASE_URL": "postgresql+asyncpg://rushes:rushes@localhost/rushes",
    "KAFKA__BOOTSTRAP_SERVERS": "localhost:9092",
    "STORE__KIND": "s3",
    "ZOU_URL": "https://kitsu.studio/api",
    "ZOU_TOKEN": "token",
}


@pytest.mark.parametrize("command", ["serve", "follow"])
def test_a_database_of_zous_that_has_no_address_is_named_and_not_shown(command: str) -> None:
    environment = {**SETTINGS, "ZOU_DATABASE_URL": "postgres://reader:marker5ecret@localhost/zoudb"}
    refused = subprocess.run(
        [*command_of("rushes-kitsu"), command], env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.strip() == (
        "ZOU_DATABASE_URL is no address like postgresql+asyncpg://user:password@host/zoudb"
    )
