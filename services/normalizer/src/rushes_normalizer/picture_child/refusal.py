"""Why a picture is refused."""

from __future__ import annotations

from typing import Literal

Code = Literal["not_a_movie", "unsupported_codec", "corrupt", "limits_exceeded"]


class RefusedError(Exception):
    """A picture that no PNGs are made of.

    Attributes:
        code: value of a failure code (`rushes_schemas.failures`, which costs too much to import here).
        message: one line for an operator.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
