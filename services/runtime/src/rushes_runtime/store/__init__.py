"""Object stores behind one small interface: S3 and a local folder."""

from rushes_runtime.store.interface import (
    SMALL,
    Condition,
    ConditionsUnknownError,
    Downloaded,
    IfAbsent,
    IfMatch,
    ObjectAbsentError,
    ObjectStat,
    PreconditionFailedError,
    Reading,
    SmallObjects,
    Store,
    StoreBusyError,
    StoreDeniedError,
    StoreError,
    StoreUnavailableError,
    Unconditional,
    Writing,
)
from rushes_runtime.store.local import LocalStore
from rushes_runtime.store.open import open_store
from rushes_runtime.store.proof import (
    SENTINEL_KEY,
    absent_from_whole,
    place_sentinels,
    prove_conditions,
    prove_whole,
)
from rushes_runtime.store.window import insist

__all__ = [
    "SENTINEL_KEY",
    "SMALL",
    "Condition",
    "ConditionsUnknownError",
    "Downloaded",
    "IfAbsent",
    "IfMatch",
    "LocalStore",
    "ObjectAbsentError",
    "ObjectStat",
    "PreconditionFailedError",
    "Reading",
    "SmallObjects",
    "Store",
    "StoreBusyError",
    "StoreDeniedError",
    "StoreError",
    "StoreUnavailableError",
    "Unconditional",
    "Writing",
    "absent_from_whole",
    "insist",
    "open_store",
    "place_sentinels",
    "prove_conditions",
    "prove_whole",
]
