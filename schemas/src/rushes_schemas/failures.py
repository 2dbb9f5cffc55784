"""Failure codes: why an attempt failed, what follows from it, and how to say so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rushes_schemas.statuses import PreviewStatus


class FailureCode(StrEnum):
    """Why an attempt failed. The value stands on the row, on the event and in the metrics."""

    SOURCE_MISSING = "source_missing"
    SOURCE_EMPTY = "source_empty"
    NOT_A_MOVIE = "not_a_movie"
    UNSUPPORTED_CODEC = "unsupported_codec"
    CORRUPT = "corrupt"
    LIMITS_EXCEEDED = "limits_exceeded"
    TIMEOUT = "timeout"
    VERIFICATION_FAILED = "verification_failed"
    POISON = "poison"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    STORAGE_DENIED = "storage_denied"
    OUT_OF_DISK = "out_of_disk"
    WORKER_LOST = "worker_lost"
    SOURCE_CHANGED = "source_changed"
    INTERNAL = "internal"


@dataclass(frozen=True)
class FailureFacts:
    """What follows from a failure code.

    Attributes:
        ends_as: the status that a preview gets when the job ends with this code.
        transient: whether the job is tried again before it ends so.
        for_artist: one sentence for the person who uploaded.
        for_operator: one sentence for the person on call.
    """

    ends_as: PreviewStatus
    transient: bool
    for_artist: str
    for_operator: str


def _permanent(for_artist: str, for_operator: str) -> FailureFacts:
    return FailureFacts(PreviewStatus.BROKEN, False, for_artist, for_operator)


def _transient(for_artist: str, for_operator: str) -> FailureFacts:
    return FailureFacts(PreviewStatus.BROKEN, True, for_artist, for_operator)


FAILURES: Final[dict[FailureCode, FailureFacts]] = {
    FailureCode.SOURCE_MISSING: FailureFacts(
        PreviewStatus.MISSING,
        False,
        "The uploaded file is no longer in storage; please upload it again.",
        "The store answered twice that the source object does not exist, and proved itself whole each time.",
    ),
    FailureCode.SOURCE_EMPTY: _permanent(
        "The uploaded file is empty; please export and upload it again.",
        "The source object has 0 bytes; the upload was cut off or the export failed.",
    ),
    FailureCode.NOT_A_MOVIE: _permanent(
        "The uploaded file is not a movie or picture that can be read; please check the export.",
        "No demuxer or decoder recognises the source, or it holds no video stream.",
    ),
    FailureCode.UNSUPPORTED_CODEC: _permanent(
        "This kind of file cannot be read here; please export a movie as H.264 or ProRes, a picture as PNG or JPEG.",
        "No decoder reads the source's video, audio or kind of picture, or it is not allowed; the message names it.",
    ),
    FailureCode.CORRUPT: _permanent(
        "The uploaded file is damaged; please export and upload it again.",
        "The source is recognised but cannot be decoded to its end; the message quotes the decoder.",
    ),
    FailureCode.LIMITS_EXCEEDED: _permanent(
        "The file is larger than what this studio accepts for review; please upload a smaller version.",
        "The source, or the work on it, passes a limit of size, length, memory or time; the message names it.",
    ),
    FailureCode.TIMEOUT: _permanent(
        "The file took too long to process; please upload a simpler or shorter version.",
        "An attempt made no progress for the stall limit, or passed the limit for one ffmpeg or for a whole attempt.",
    ),
    FailureCode.VERIFICATION_FAILED: _permanent(
        "The review version could not be verified; please contact support.",
        "An output's frames, duration or size differ from the plan; the message names the difference.",
    ),
    FailureCode.POISON: _permanent(
        "This file cannot be processed safely; please contact support.",
        "The job lost its worker time and again (memory, crash); look at the workers' last logs.",
    ),
    FailureCode.STORAGE_UNAVAILABLE: _transient(
        "Storage could not be reached; please try again later.",
        "The object store does not answer or answers with errors; check its endpoint and health.",
    ),
    FailureCode.STORAGE_DENIED: _transient(
        "Storage refused access; please contact support.",
        "The object store refuses the credentials or the operation; check keys and bucket policy.",
    ),
    FailureCode.OUT_OF_DISK: _transient(
        "There was no room to process the file; please try again later.",
        "The scratch folder is full; give it more room or fewer slots.",
    ),
    FailureCode.WORKER_LOST: _transient(
        "Processing was interrupted; please try again later.",
        "A worker stopped renewing its lease: it died, was killed or lost the database.",
    ),
    FailureCode.SOURCE_CHANGED: _transient(
        "The file was replaced while it was being processed; please try again.",
        "The source's etag changed between the start and the end of the attempt.",
    ),
    FailureCode.INTERNAL: _transient(
        "Something went wrong inside the pipeline; please contact support.",
        "An unexpected error; the log has its traceback under this preview's id.",
    ),
}


def is_transient(code: FailureCode) -> bool:
    """Whether a job that fails with `code` is tried again before it ends."""
    return FAILURES[code].transient


def status_after(code: FailureCode) -> PreviewStatus:
    """The status of a preview whose job ended with `code`: `missing` or `broken`."""
    return FAILURES[code].ends_as
