"""The one error of the media engine."""

from __future__ import annotations

from rushes_schemas.failures import FailureCode


class MediaError(Exception):
    """Outputs could not be made.

    Attributes:
        code: what follows from it (`rushes_schemas.failures.FAILURES`).
        message: one line for an operator; holds no path of the scratch folder.
    """

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(f"{code.value}: {message}")
        self.code = code
        self.message = message
