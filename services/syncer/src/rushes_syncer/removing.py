"""Removes from a site what it has and should not have: only on proof, and only the object that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rushes_runtime.failures import AttemptFailedError
from rushes_runtime.store import IfMatch, PreconditionFailedError, absent_from_whole
from rushes_schemas.outputs import BUCKETS

from rushes_syncer import passes
from rushes_syncer.comparing import Finding
from rushes_syncer.deciding import Decision, SyncRules, decide
from rushes_syncer.passes import Difference, Pass, Settled
from rushes_syncer.survey import UNKNOWN, Sides, facts_of

_AT_ONCE: Final = 500
# Of those, which a record names that is not deleted: the main store has lost them.
_NAMED: Final = """
    SELECT stored ->> 'key' AS key FROM site_preview, jsonb_array_elements(files) AS stored
    WHERE site = :site AND preview_file_id = ANY(:ids) AND NOT deleted AND stored ->> 'bucket' = :bucket"""
_LET_GO: Final = "DELETE FROM held WHERE site = :site AND bucket = :bucket AND key = ANY(:keys) RETURNING key"


async def remove_extra(sides: Sides, going: Pass, rules: SyncRules) -> None:
    """Remove what a pass found to be extra.

    That is what the rules prune, or what the main store lacks, seen by a look that shows it whole, and no record names.

    Raises:
        StoreError: the main store is not shown to be whole; nothing more was removed.
    """
    while some := await passes.left(sides.database, going, {Finding.EXTRA}, order="biggest", limit=_AT_ONCE):
        for bucket in BUCKETS:
            chosen = [each for each in some if each.bucket == bucket]
            if chosen:
                await _remove(sides, going, rules, bucket, chosen)


async def _remove(sides: Sides, going: Pass, rules: SyncRules, bucket: str, some: Sequence[Difference]) -> None:
    ids = {each.preview_file_id for each in some}
    facts = await facts_of(sides.database, going.site, ids)
    rows = await sides.database.fetch(_NAMED, site=going.site, ids=list(ids), bucket=bucket)
    named = {row.key for row in rows}
    absent = await absent_from_whole(sides.source, bucket, [each.key for each in some], sides.instance)
    now = datetime.now(UTC)
    settled = []
    for each in some:
        pruned = decide(facts.get(each.preview_file_id, UNKNOWN), rules, now) is Decision.PRUNE
        if not pruned and each.key not in absent:
            settled.append(Settled(bucket, each.key, "refused", "the main store has it"))
        elif not pruned and each.key in named:
            settled.append(
                Settled(bucket, each.key, "refused", "its preview's record names it: the main store has lost it")
            )
        else:
            settled.append(await _delete(sides, each))
    removed = [each.key for each in settled if each.state == "removed"]
    await sides.database.fetch(_LET_GO, site=going.site, bucket=bucket, keys=removed)
    async with sides.database.begin() as connection:
        await passes.settle(connection, going.id, settled)


async def _delete(sides: Sides, extra: Difference) -> Settled:
    assert extra.etag
    try:
        await sides.site.delete(extra.bucket, extra.key, condition=IfMatch(extra.etag))
    except PreconditionFailedError:
        return Settled(extra.bucket, extra.key, "refused", "it was changed after the look")
    except AttemptFailedError as error:
        return Settled(extra.bucket, extra.key, "failed", error.message)
    return Settled(extra.bucket, extra.key, "removed")
