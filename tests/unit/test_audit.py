"""An audit that heard nothing is not one that found nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import audit
from tests.audit import Verdict, verdict

UNKNOWN = {"name": "aiokafka", "skip_reason": "Dependency not found on PyPI and could not be audited"}
CLEAN = {"name": "typer", "version": "0.9", "vulns": []}
NAMED = {"name": "pillow", "version": "9.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["9.1"], "aliases": []}]}


def test_packages_that_a_source_does_not_know_are_not_audited() -> None:
    assert verdict({"dependencies": [UNKNOWN, CLEAN]}) == Verdict(known=1, unknown=1, advisories=())


@pytest.mark.parametrize(
    ("said", "code", "line"),
    [
        (None, 0, "NOT AUDITED, no source of advisories answers"),
        (verdict({"dependencies": [CLEAN]}), 0, "1 packages audited"),
        (verdict({"dependencies": [CLEAN, NAMED]}), 1, "pillow 9.0: PYSEC-1, mended in 9.1"),
    ],
)
def test_only_an_advisory_fails_the_audit(
    said: Verdict | None, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "_pip_audit", lambda: Path("pip-audit"))
    monkeypatch.setattr(audit, "ask", lambda *_: said)
    assert audit.main([Path("requirements.lock")]) == code
    assert line in capsys.readouterr().out
