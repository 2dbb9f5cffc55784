"""`rushes-normalizer history`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table
from rushes_runtime.attempts import Attempt
from rushes_runtime.attempts import history as read_history
from rushes_runtime.commands import open_database, print_json, run_guarded, settings_or_exit
from rushes_runtime.settings import DatabaseClientSettings

from rushes_normalizer.commands.output import Json, out
from rushes_normalizer.previews import SCHEMA


def history(
    preview_file_id: Annotated[UUID, typer.Argument(help="The preview.")],
    as_json: Json = False,
) -> None:
    """Show each attempt at a preview: who tried, when, what became of it, and what its ffmpeg used.

    Needs only a database address (DATABASE_URL) that may read. Attempts are kept for AUDIT_RETENTION.
    """
    settings = settings_or_exit(DatabaseClientSettings)

    async def main() -> None:
        async with open_database(settings, SCHEMA) as database:
            attempts = await read_history(database, str(preview_file_id))
        if as_json:
            print_json({"attempts": [asdict(attempt) for attempt in attempts]})
        else:
            _show(attempts)

    run_guarded(main)


def _show(attempts: list[Attempt]) -> None:
    table = Table(
        "attempt", "fence", "lane", "worker", "started", "seconds", "outcome", "code", "CPU s", "peak MiB", box=None
    )
    for attempt in attempts:
        started, ended = attempt.started_at, attempt.ended_at
        table.add_row(
            str(attempt.number),
            str(attempt.fence),
            attempt.lane,
            attempt.worker or "",
            f"{started:%Y-%m-%d %H:%M:%S}" if started else "",
            f"{(ended - started).total_seconds():.1f}" if started and ended else "",
            attempt.outcome,
            attempt.code or "",
            "" if attempt.cpu_seconds is None else f"{attempt.cpu_seconds:.1f}",
            "" if attempt.peak_memory is None else f"{attempt.peak_memory / 2**20:.0f}",
        )
    out.print(table)
    out.print(f"{len(attempts)} attempts")
