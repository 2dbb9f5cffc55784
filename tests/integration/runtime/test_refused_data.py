"""What PostgreSQL refuses for its data is put aside with PostgreSQL's message, and with nothing of the statement."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rushes_runtime.envelopes import Received, UnreadableError
from rushes_runtime.intake import Intake
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.integration.normalizer.parts import parts_of
from tests.world import World, eventually, playing, upload

STATEMENTS = {
    "by the server": ("SELECT CAST(:value AS jsonb) AS of_the_statement", '"\\u0000"'),
    "by the driver": ("SELECT CAST(:value AS integer) AS of_the_statement", "secret"),
}


class _Refused:
    """A handler that gives the database a value which it refuses."""

    def __init__(self, statement: str, value: str) -> None:
        self._statement = text(statement)
        self._value = value

    async def handle(
        self, connection: AsyncConnection, events: Sequence[Received]
    ) -> list[tuple[Received, UnreadableError]]:
        await connection.execute(self._statement, {"value": self._value})
        return []


@pytest.mark.parametrize(("statement", "value"), STATEMENTS.values(), ids=STATEMENTS)
async def test_a_dead_letter_has_no_sql(
    world: World, monkeypatch: pytest.MonkeyPatch, statement: str, value: str
) -> None:
    async with parts_of(world) as parts:
        intake: Intake = parts.intake()
        monkeypatch.setattr(intake, "_handler", _Refused(statement, value))
        async with playing(intake, parts.relay()):
            await world.send(upload(), upload())
            letters = await eventually(lambda: world.records("normalizer.dead-letters"), lambda found: len(found) == 2)
    for letter in letters:
        facts = {name: bytes_.decode() for name, bytes_ in letter.headers}
        assert facts["rushes-reason"] == "refused"
        assert facts["rushes-detail"]
        assert not [word for word in ("SELECT", "of_the_statement", "sqlalche") if word in facts["rushes-detail"]]
