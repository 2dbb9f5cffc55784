"""Events, statuses and failure codes of Rushes, for publishers and API consumers.

from rushes_schemas import Envelope, PreviewUploaded

envelope = Envelope(PreviewUploaded(preview_file_id=…, extension="mp4", uploaded_at=…), source="/uploads")
await producer.send_and_wait(
    envelope.topic, key=envelope.key(), value=envelope.value(), headers=envelope.headers()
)
"""

from rushes_schemas.contracts import CONTRACTS, Contract, Envelope
from rushes_schemas.encoding import Encoding, X264Preset
from rushes_schemas.events import (
    Event,
    Failure,
    FilesSynced,
    Job,
    PreviewDeleted,
    PreviewUploaded,
    Priority,
    RenormalizeRequested,
    Source,
    StatusChanged,
    StoredFile,
    Upload,
)
from rushes_schemas.failures import FAILURES, FailureCode, FailureFacts, is_transient, status_after
from rushes_schemas.outputs import PLACES, ObjectKind, Place, object_key
from rushes_schemas.preview import Preview
from rushes_schemas.statuses import (
    NEEDS_ATTENTION,
    PreviewStatus,
    ValidationStatus,
    exposed_status,
    statuses_behind,
)

__all__ = [
    "CONTRACTS",
    "FAILURES",
    "NEEDS_ATTENTION",
    "PLACES",
    "Contract",
    "Encoding",
    "Envelope",
    "Event",
    "Failure",
    "FailureCode",
    "FailureFacts",
    "FilesSynced",
    "Job",
    "ObjectKind",
    "Place",
    "Preview",
    "PreviewDeleted",
    "PreviewStatus",
    "PreviewUploaded",
    "Priority",
    "RenormalizeRequested",
    "Source",
    "StatusChanged",
    "StoredFile",
    "Upload",
    "ValidationStatus",
    "X264Preset",
    "exposed_status",
    "is_transient",
    "object_key",
    "status_after",
    "statuses_behind",
]
