"""Waiting for requests, with a progress bar on stderr."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import aclosing
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rushes_runtime.commands import errors
from rushes_runtime.database import Database

from rushes_normalizer.outcomes import follow_requests


async def wait_for_ends(database: Database, event_ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Show a progress bar until all requests have ended; what is known of each, by event id."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    known: Mapping[str, Mapping[str, Any]] = {}
    with Progress(*columns, console=errors, transient=True) as bar:
        line = bar.add_task("waiting", total=float(len(event_ids)))
        async with aclosing(follow_requests(database, event_ids)) as looks:
            async for known in looks:
                ended = sum(bool(request["outcome"]) for request in known.values())
                part = sum(
                    (request["progress"] or {}).get("fraction", 0.0)
                    for request in known.values()
                    if not request["outcome"]
                )
                bar.update(line, completed=ended + part, description=f"{ended} of {len(event_ids)} ended")
    return dict(known)


def ended_well(request: Mapping[str, Any]) -> bool:
    """Whether a request made what it asked for.

    Its own end tells, not the status alone: with KEEP_PLAYABLE a preview whose request failed is `ready`.
    """
    return request["outcome"] == "ready" and request["failure_code"] is None
