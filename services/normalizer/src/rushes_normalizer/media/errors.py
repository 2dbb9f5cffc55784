"""The one error of the media engine."""

from __future__ import annotations

from collections.abc import Sequence

from rushes_schemas.failures import FailureCode


class MediaError(Exception):
    """Outputs could not be made.

    Attributes:
        code: what follows from it (`rushes_schemas.failures.FAILURES`).
        message: one line for an operator; holds no path of the scratch folder.
        for_artist: one sentence for the person who uploaded, where more can be said than the code does.
        said: what the tool said of it, for the log alone.
    """

    def __init__(
        self, code: FailureCode, message: str, *, for_artist: str | None = None, said: Sequence[str] = ()
    ) -> None:
        super().__init__(f"{code.value}: {message}")
        self.code = code
        self.message = message
        self.for_artist = for_artist
        self.said = tuple(said)
