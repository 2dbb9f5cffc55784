"""What the two S3 clients say, as the store's three answers: absent, refused, unreachable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import ClientError as HttpError
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from rushes_runtime import metrics
from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store.interface import (
    ConditionsUnknownError,
    ObjectAbsentError,
    PreconditionFailedError,
    StoreBusyError,
    StoreDeniedError,
    StoreUnavailableError,
)

ABSENT: Final = {"404", "NoSuchKey", "NotFound"}
_DENIED: Final = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AllAccessDisabled",
    "403",
    "401",
}
_CONFLICTS: Final = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_UNKNOWN: Final = {"NotImplemented", "501"}  # of all that is asked for here, only a condition of a write can be
_BUSY: Final = {"SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded", "503", "429"}

# What obstore has to say, it says as text: S3's code in the answer's body, or the status, or what broke beneath.
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_STATUS: Final = re.compile(r"status code: (\d{3})")
_NO_KEY: Final = "External AWS credential provider"  # a file of ours could not be read: no refusal of the store's
_FROM_CLIENTS: Final = (ClientError, BotoCoreError, ResponseParserError, BaseError, HttpError, OSError, TimeoutError)
_BENEATH: Final = (
    (re.compile(r"InvalidCertificate\(\s*(\w+)"), "certificate verify failed: {}"),
    (re.compile(r'message: "([^"]+)"'), "{}"),
    (re.compile(r"(TimedOut)"), "timed out"),
)


@contextmanager
def answers(operation: str, where: str, store: str) -> Iterator[None]:
    """Counts calls, and turns what the endpoint says into the store's answers.

    Args:
        where: the object and the endpoint, for people.
        store: the endpoint's name.
    """
    outcome = "error"
    try:
        yield
        outcome = "ok"
    except ObjectAbsentError:
        outcome = "absent"
        raise
    except PreconditionFailedError:
        outcome = "conflict"
        raise
    except AttemptFailedError:  # said in our words already
        raise
    except Exception as error:
        answer, outcome = _answer(error, f"{operation} {where}", store)
        if answer is error:
            raise
        raise answer from error
    finally:
        metrics.STORE_OPERATIONS.labels(operation, outcome).inc()


def code_of(error: Exception) -> str:
    """S3's code for what went wrong, or the status of an answer that had none; empty: there was no answer."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    found = _CODE.search(str(error)) or _STATUS.search(str(error))
    return found[1] if found else ""


def _answer(error: Exception, where: str, store: str) -> tuple[Exception, str]:
    if not isinstance(error, _FROM_CLIENTS):
        return error, "error"
    code = code_of(error)
    if code in _CONFLICTS or isinstance(error, AlreadyExistsError | PreconditionError):
        return PreconditionFailedError(where), "conflict"
    if _NO_KEY in str(error):
        return StoreUnavailableError(f"{where}: {_sentence(error)}"), "error"
    if code in _DENIED or isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return StoreDeniedError(f"{where}: {code or _sentence(error)}"), "denied"
    if code in _BUSY:
        return StoreBusyError(f"{where}: {code}", store), "busy"
    failed = (
        ConditionsUnknownError(where)
        if code in _UNKNOWN
        else StoreUnavailableError(f"{where}: {code or _sentence(error)}")
    )
    return failed, "error"


def _sentence(error: Exception) -> str:
    text = str(error)
    first = text.partition("\n")[0].rpartition(" - ")[2] or type(error).__name__
    if isinstance(error, BaseError):
        for pattern, reason in _BENEATH:
            if found := pattern.search(text):
                return f"{first}: {reason.format(found[1])}"
    return first
