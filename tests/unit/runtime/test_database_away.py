"""What a database that cannot answer now raises, however raw it comes."""

from __future__ import annotations

import asyncpg
import pytest
from rushes_runtime.database import is_away


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        ConnectionResetError(),
        TimeoutError(),
    ],
)
def test_a_connection_that_ends_while_it_is_made_means_away(error: Exception) -> None:
    assert is_away(error)


def test_a_fault_of_ours_does_not() -> None:
    assert not is_away(ValueError("no such field"))
