"""The command line of the normalizer."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rushes_runtime.commands import (
    errors,
    fail,
    open_database,
    print_json,
    roles_or_exit,
    run_async,
    run_guarded,
    settings_or_exit,
)
from rushes_runtime.database import Database
from rushes_runtime.failures import InstanceMismatchError
from rushes_runtime.kafka import COMPACTED, KEPT_A_MONTH, create_topics
from rushes_runtime.migrations import migrate as migrate_database
from rushes_runtime.store import open_store, place_sentinels
from rushes_runtime.wiring import ROLES
from rushes_schemas import Encoding, Envelope, PreviewStatus, Priority, RenormalizeRequested
from rushes_schemas.outputs import BUCKETS

from rushes_normalizer import application, publish
from rushes_normalizer.media.tools import ToolsError
from rushes_normalizer.outcomes import follow_requests
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.sandbox_check import SandboxError
from rushes_normalizer.selection import (
    AttentionFilter,
    RenormalizeSelection,
    needs_attention,
    select_for_renormalization,
)
from rushes_normalizer.settings import NormalizerSettings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Turns uploads into what a review player needs. Settings come from the environment: see docs/settings.md.",
)
out = Console()
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")]


class Shown(StrEnum):
    """Statuses that need attention."""

    PROCESSING = "processing"
    BROKEN = "broken"
    MISSING = "missing"


@app.command()
def run(
    roles: Annotated[
        str, typer.Option(help="Which parts to run, by commas: intake and relay talk to Kafka, worker encodes.")
    ] = ",".join(ROLES),
) -> None:
    """Run the service until SIGTERM or SIGINT.

    In production run small control processes (`--roles intake,relay,janitor`, two or more) and pools of workers
    (`--roles worker`, from zero to many). A worker that is told to stop lets its jobs end within DRAIN_BUDGET.
    """
    chosen = roles_or_exit(roles)
    settings = settings_or_exit(NormalizerSettings)
    try:
        run_async(application.run(settings, chosen))
    except (ToolsError, SandboxError, InstanceMismatchError) as error:
        fail(str(error), 2)


@app.command()
def migrate(
    topics: Annotated[bool, typer.Option("--topics", help="Also create the Kafka topics that are not there.")] = False,
    store: Annotated[bool, typer.Option("--store", help="Also create buckets and their sentinel objects.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="With --topics: partitions of each topic.")] = 12,
    replicas: Annotated[int, typer.Option(min=1, help="With --topics: replicas of each partition.")] = 3,
) -> None:
    """Bring the database schema to this version; many processes may call this at once.

    A sentinel object shows workers that a bucket is really there: without it, nothing is ever called missing.
    """
    settings = settings_or_exit(NormalizerSettings)

    async def main() -> None:
        async with open_database(settings, SCHEMA) as database:
            before, now = await migrate_database(database, application.MIGRATIONS, settings.instance)
        out.print(f"database schema {SCHEMA}: {before or 'new'} → {now}")
        if topics:
            wanted = {
                "preview-uploaded": KEPT_A_MONTH,
                "renormalize-requested": KEPT_A_MONTH,
                "status-changed": COMPACTED,
                "normalizer.dead-letters": KEPT_A_MONTH,
            }
            created = await create_topics(settings.kafka, wanted, partitions=partitions, replicas=replicas)
            out.print(f"topics created: {', '.join(created) or 'none, all are there'}")
        if store:
            async with open_store(settings.store) as opened:
                await place_sentinels(opened, BUCKETS, settings.instance)
            out.print(f"sentinels stand in {', '.join(BUCKETS)} of {opened.name}")

    run_guarded(main)


@app.command()
def attention(
    status: Annotated[Shown | None, typer.Option(help="Only this status.")] = None,
    project_id: Annotated[UUID | None, typer.Option(help="Only this project.")] = None,
    code: Annotated[str | None, typer.Option(help="Only this failure code, such as `corrupt`.")] = None,
    older_than_minutes: Annotated[float | None, typer.Option(min=0, help="Only previews uploaded before that.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows of a page.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on after a page: the cursor that it printed.")] = None,
    as_json: Json = False,
) -> None:
    """Show previews that are processing, broken or missing, newest first, with what their jobs do."""
    settings = settings_or_exit(NormalizerSettings)
    older = None if older_than_minutes is None else datetime.now(UTC) - timedelta(minutes=older_than_minutes)
    wanted = AttentionFilter(PreviewStatus(status.value) if status else None, project_id, code, older, limit, cursor)

    async def main() -> None:
        async with open_database(settings, SCHEMA) as database:
            page = await needs_attention(database, wanted)
        if as_json:
            print_json({"previews": page.previews, "next_cursor": page.next_cursor})
            return
        table = Table("preview", "status", "code", "job", "progress", "uploaded", "message", box=None)
        for row in page.previews:
            done = row["progress"] or {}
            table.add_row(
                str(row["id"]),
                row["status"],
                row["code"] or "",
                row["job_state"] or "",
                f"{done['stage']} {done['fraction']:.0%}" if done else "",
                f"{row['created_at']:%Y-%m-%d %H:%M:%S}",
                row["message"] or "",
            )
        out.print(table)
        out.print(
            f"{len(page.previews)} previews" + (f"; more: --cursor {page.next_cursor}" if page.next_cursor else "")
        )

    run_guarded(main)


@app.command()
def renormalize(
    preview_file_id: Annotated[list[UUID] | None, typer.Option(help="A preview; may be given again.")] = None,
    project_id: Annotated[UUID | None, typer.Option(help="Only previews of this project.")] = None,
    all_broken: Annotated[bool, typer.Option("--all-broken", help="Previews that are broken.")] = False,
    all_missing: Annotated[bool, typer.Option("--all-missing", help="Previews that are missing.")] = False,
    all_processing: Annotated[bool, typer.Option("--all-processing", help="Previews still in processing.")] = False,
    include_ready: Annotated[bool, typer.Option("--include-ready", help="Previews that are ready, too.")] = False,
    days: Annotated[int, typer.Option(min=0, help="Only previews of the last days (adds up).")] = 0,
    hours: Annotated[int, typer.Option(min=0, help="… and hours.")] = 0,
    minutes: Annotated[int, typer.Option(min=0, help="… and minutes.")] = 0,
    code: Annotated[str | None, typer.Option(help="Only previews with this failure code.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, oldest first.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Default: single for ids, else bulk.")] = None,
    reason: Annotated[str, typer.Option(help="Why; stands on each request.")] = "asked on the command line",
    requested_by: Annotated[str, typer.Option(envvar="USER", help="Who asks.")] = "operator",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be asked for, and ask nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all have ended; exit 1 if any ended badly.")] = False,
    as_json: Json = False,
) -> None:
    """Ask for outputs to be made again. All conditions hold together; statuses among them are alternatives.

    Previews go on playing while they wait. Needs Kafka and a database address that may read.
    """
    settings = settings_or_exit(NormalizerSettings)
    flags = {
        PreviewStatus.BROKEN: all_broken,
        PreviewStatus.MISSING: all_missing,
        PreviewStatus.PROCESSING: all_processing,
    }
    wanted = RenormalizeSelection(
        ids=preview_file_id or (),
        statuses=frozenset(status for status, flag in flags.items() if flag),
        project_id=project_id,
        code=code,
        age=timedelta(days=days, hours=hours, minutes=minutes),
        include_ready=include_ready,
        limit=limit,
    )
    lane = priority or (Priority.SINGLE if preview_file_id else Priority.BULK)

    async def main() -> int:
        async with open_database(settings, SCHEMA) as database:
            chosen = await select_for_renormalization(database, wanted, datetime.now(UTC))
            if not chosen:
                fail("no preview fits these conditions")
            asked = [
                Envelope(
                    RenormalizeRequested(preview_file_id=each, reason=reason, requested_by=requested_by, priority=lane),
                    source="/rushes/renormalize",
                )
                for each, _ in chosen
            ]
            if not dry_run:
                async with publish.open_sender(settings.kafka) as sender:
                    await sender.send(asked)
            outcomes = await _wait(database, asked) if wait and not dry_run else {}
        listed = [
            {
                "preview_file_id": str(each),
                "status": status.value,
                "request_id": None if dry_run else envelope.event_id,
                "outcome": outcomes.get(envelope.event_id),
            }
            for (each, status), envelope in zip(chosen, asked, strict=True)
        ]
        if as_json:
            print_json({"requested": listed, "dry_run": dry_run})
        else:
            for row in listed:
                out.print(f"{row['preview_file_id']}  {row['status']}  {row['outcome'] or ''}")
            out.print(f"{len(listed)} previews {'would be asked for' if dry_run else 'asked for'}")
        return 1 if any(outcome != "ready" for outcome in outcomes.values()) else 0

    run_guarded(main)


@app.command("publish")
def publish_command(
    file: Annotated[Path, typer.Argument(help="A movie, a picture or any other file.", exists=True, dir_okay=False)],
    preview_file_id: Annotated[UUID | None, typer.Option(help="The preview's id; default: a new one.")] = None,
    extension: Annotated[str | None, typer.Option(help="Default: the file's.")] = None,
    name: Annotated[str | None, typer.Option(help="Default: the file's name.")] = None,
    project_id: Annotated[UUID | None, typer.Option(help="The project.")] = None,
    task_id: Annotated[UUID | None, typer.Option(help="The task.")] = None,
    fps: Annotated[str | None, typer.Option(help="Output frame rate, such as 24 or 24000/1001.")] = None,
    width: Annotated[int | None, typer.Option(help="Canvas width in pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Canvas height in pixels.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome; exit 1 unless it is ready.")] = False,
    as_json: Json = False,
) -> None:
    """Store a file and send `preview-uploaded` for it: what an upstream service would do."""
    settings = settings_or_exit(NormalizerSettings)
    chosen_id = preview_file_id or uuid4()
    suffix = (extension or file.suffix).lower().removeprefix(".")
    try:
        wishes = {"fps": fps, "width": width, "height": height}
        encoding = Encoding.model_validate(wishes) if any(wishes.values()) else None
        optional = {
            "name": name or file.stem[:250],
            "original_name": file.name[:250],
            "project_id": project_id,
            "task_id": task_id,
            "encoding": encoding,
        }
    except ValidationError as error:
        fail("\n".join(f"--{problem['loc'][0]}: {problem['msg']}" for problem in error.errors()), 2)

    async def main() -> int:
        async with open_store(settings.store) as store:
            source = await publish.store_upload(store, file, chosen_id, suffix, settings.kind(suffix))
        try:
            envelope = publish.upload_event(chosen_id, suffix, source, optional)
        except ValidationError as error:
            fail(f"{file.name}: {error.errors()[0]['msg']} ({error.errors()[0]['loc'][0]})", 2)
        async with publish.open_sender(settings.kafka) as sender:
            await sender.send([envelope])
        outcome = None
        if wait:
            async with open_database(settings, SCHEMA) as database:
                outcome = (await _wait(database, [envelope]))[envelope.event_id]
        answer = {
            "preview_file_id": str(chosen_id),
            "event_id": envelope.event_id,
            "bucket": source.bucket,
            "key": source.key,
            "outcome": outcome,
        }
        if as_json:
            print_json(answer)
        else:
            out.print(f"{file.name} → {source.bucket}/{source.key}, preview {chosen_id} {outcome or ''}".rstrip())
        return 1 if wait and outcome != "ready" else 0

    run_guarded(main)


async def _wait(database: Database, asked: list[Envelope]) -> dict[str, str]:
    """Show a progress bar until all requests have ended; their outcomes."""
    ids = {envelope.event_id for envelope in asked}
    known: dict[str, dict[str, Any]] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as bar:
        line = bar.add_task("waiting", total=float(len(ids)))
        async with aclosing(follow_requests(database, ids)) as looks:
            async for known in looks:
                ended = [request for request in known.values() if request["outcome"]]
                part = sum(
                    (request["progress"] or {}).get("fraction", 0.0)
                    for request in known.values()
                    if not request["outcome"]
                )
                bar.update(line, completed=len(ended) + part, description=f"{len(ended)} of {len(ids)} ended")
    return {event_id: request["outcome"] for event_id, request in known.items()}


def main() -> None:
    """The console script."""
    app()
