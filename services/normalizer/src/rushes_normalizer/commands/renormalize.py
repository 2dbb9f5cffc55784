"""`rushes-normalizer renormalize`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer
from rushes_runtime.commands import errors, fail, open_database, print_json, run_guarded, settings_or_exit
from rushes_runtime.settings import RequestSettings
from rushes_schemas import Envelope, FailureCode, PreviewStatus, Priority, RenormalizeRequested

from rushes_normalizer.commands.output import Json, out
from rushes_normalizer.commands.waiting import ended_well, wait_for_ends
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.publish import open_sender
from rushes_normalizer.selection import RenormalizeSelection, select_for_renormalization


def renormalize(
    preview_file_id: Annotated[list[UUID] | None, typer.Option(help="A preview; may be given again.")] = None,
    project_id: Annotated[UUID | None, typer.Option(help="Only previews of this project.")] = None,
    all_broken: Annotated[bool, typer.Option("--all-broken", help="Previews that are broken.")] = False,
    all_missing: Annotated[bool, typer.Option("--all-missing", help="Previews that are missing.")] = False,
    all_processing: Annotated[bool, typer.Option("--all-processing", help="Previews still in processing.")] = False,
    include_ready: Annotated[bool, typer.Option("--include-ready", help="Previews that are ready, too.")] = False,
    days: Annotated[int, typer.Option(min=0, max=100_000, help="Only previews of the last days (adds up).")] = 0,
    hours: Annotated[int, typer.Option(min=0, max=1_000_000, help="… and hours.")] = 0,
    minutes: Annotated[int, typer.Option(min=0, max=1_000_000, help="… and minutes.")] = 0,
    code: Annotated[FailureCode | None, typer.Option(help="Only previews with this failure code.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, oldest first.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Default: single for ids, else bulk.")] = None,
    reason: Annotated[str, typer.Option(help="Why; stands on each request.")] = "asked on the command line",
    requested_by: Annotated[str, typer.Option(envvar="USER", help="Who asks.")] = "operator",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be asked for, and ask nothing.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until all have ended; exit 1 unless each request ended well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask for outputs to be made again. All conditions hold together; statuses among them are alternatives.

    Name --preview-file-id, or at least one status. Without ids only movies are chosen, and those that are ready are
    left alone unless --include-ready is given. Previews go on playing while they wait; uploads overtake them.

    Works from any machine: it needs Kafka (KAFKA__BOOTSTRAP_SERVERS) and a database address (DATABASE_URL) that may
    only read.

    Sources are back:           renormalize --all-missing --wait
    Broken in the last day:     renormalize --all-broken --days 1 --dry-run
    A project, from scratch:    renormalize --project-id ID --all-broken --all-missing --include-ready
    """
    settings = settings_or_exit(RequestSettings)
    flags = {
        PreviewStatus.BROKEN: all_broken,
        PreviewStatus.MISSING: all_missing,
        PreviewStatus.PROCESSING: all_processing,
        PreviewStatus.READY: include_ready,
    }
    wanted = RenormalizeSelection(
        ids=preview_file_id or (),
        statuses=frozenset(status for status, flag in flags.items() if flag),
        project_id=project_id,
        code=code,
        age=timedelta(days=days, hours=hours, minutes=minutes),
        limit=limit,
    )
    lane = priority or (Priority.SINGLE if preview_file_id else Priority.BULK)

    async def main() -> int:
        async with open_database(settings, SCHEMA) as database:
            chosen = await select_for_renormalization(database, wanted, datetime.now(UTC))
            left_out = set(wanted.ids) - {each for each, _ in chosen}
            for each in sorted(left_out):
                errors.print(f"not asked for: {each} is unknown, deleted, or outside of the other conditions")
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
                async with open_sender(settings.kafka) as sender:
                    await sender.send(asked)
            following = wait and not dry_run
            ends = await wait_for_ends(database, [each.event_id for each in asked]) if following else {}
        listed = [
            {
                "preview_file_id": str(each),
                "status": status.value,
                "request_id": None if dry_run else envelope.event_id,
                "outcome": ends[envelope.event_id]["outcome"] if following else None,
                "code": ends[envelope.event_id]["failure_code"] if following else None,
            }
            for (each, status), envelope in zip(chosen, asked, strict=True)
        ]
        if as_json:
            print_json({"requested": listed, "dry_run": dry_run})
        else:
            lines = []
            for row in listed:
                ended = f"  {row['outcome']} {row['code'] or ''}" if following else ""
                lines.append(f"{row['preview_file_id']}  {row['status']}{ended}".rstrip())
            out.out("\n".join(lines))  # one by one, twenty thousand take seconds
            out.print(f"{len(listed)} previews {'would be asked for' if dry_run else 'asked for'}")
        return 0 if all(ended_well(end) for end in ends.values()) else 1

    run_guarded(main)
