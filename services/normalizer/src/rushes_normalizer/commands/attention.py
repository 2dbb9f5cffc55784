"""`rushes-normalizer attention`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.table import Column, Table
from rushes_runtime.commands import open_database, print_json, run_guarded, settings_or_exit
from rushes_runtime.settings import DatabaseClientSettings
from rushes_schemas import FailureCode

from rushes_normalizer.attention import AttentionFilter, AttentionPage, needs_attention
from rushes_normalizer.commands.output import Json, out
from rushes_normalizer.previews import SCHEMA


class Shown(StrEnum):
    """Statuses that need attention."""

    PROCESSING = "processing"
    BROKEN = "broken"
    MISSING = "missing"


def attention(
    status: Annotated[Shown | None, typer.Option(help="Only this status.")] = None,
    project_id: Annotated[UUID | None, typer.Option(help="Only this project.")] = None,
    code: Annotated[FailureCode | None, typer.Option(help="Only this failure code.")] = None,
    older_than_minutes: Annotated[
        float | None, typer.Option(min=0, max=100_000_000, help="Only previews first uploaded before that.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows of a page.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on after a page: the cursor that it printed.")] = None,
    as_json: Json = False,
) -> None:
    """Show previews that are processing, broken or missing, newest first, with what their jobs do.

    Needs only a database address (DATABASE_URL) that may read. What each code means: docs/failure-codes.md.

    The oldest that are stuck:  attention --status processing --older-than-minutes 60
    All of a project, as JSON:  attention --project-id ID --limit 10000 --json
    """
    settings = settings_or_exit(DatabaseClientSettings)
    wanted = AttentionFilter(
        status=status.value if status else None,
        project_id=project_id,
        code=code,
        older_than_minutes=older_than_minutes,
        limit=limit,
        cursor=cursor,
    )

    async def main() -> None:
        async with open_database(settings, SCHEMA) as database:
            page = await needs_attention(database, wanted)
        if as_json:
            print_json(page.as_json())
        else:
            _show(page)

    run_guarded(main)


def _show(page: AttentionPage) -> None:
    table = Table(Column("preview", no_wrap=True), "status", "code", "job", "progress", "uploaded", "message", box=None)
    for row in page.previews:
        table.add_row(
            str(row["id"]),
            row["status"],
            row["code"] or "",
            row["job_state"] or "",
            _progress(row["progress"]),
            f"{row['created_at']:%Y-%m-%d %H:%M:%S}",
            row["message"] or "",
        )
    out.print(table)
    out.print(f"{len(page.previews)} previews" + (f"; more: --cursor {page.next_cursor}" if page.next_cursor else ""))


def _progress(progress: dict[str, Any] | None) -> str:
    return f"{progress['stage']} {progress['fraction']:.0%}" if progress else ""
