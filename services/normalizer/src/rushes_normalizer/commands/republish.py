"""`rushes-normalizer republish`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn
from rushes_runtime.commands import errors, fail, open_database, print_json, run_guarded, settings_or_exit
from rushes_schemas import PreviewStatus

from rushes_normalizer.commands.output import Json, out
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.republishing import Found, Rewound, catch_up, rewind_intake
from rushes_normalizer.republishing import republish as republish_state
from rushes_normalizer.settings import NormalizerSettings


def republish(
    every: Annotated[bool, typer.Option("--all", help="Every preview.")] = False,
    status: Annotated[
        list[PreviewStatus] | None, typer.Option(help="Previews with this internal status; may be given again.")
    ] = None,
    after_restore: Annotated[
        bool, typer.Option("--after-restore", help="Catch up with `status-changed` first; then every preview.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send the current state of previews again, each with a new version, so that consumers take it in.

    The events go into the outbox; a running relay sends them. Nothing is made again, and nothing changes but the
    version. EXPOSE_MISSING and the other settings must be those of the services.

    EXPOSE_MISSING was flipped:     republish --status missing
    A consumer lost its state:      republish --all
    The database was restored:      stop the normalizer, restore, republish --after-restore, start it

    After a restore the rows are older than what consumers have seen. --after-restore reads what `status-changed` last
    said of each preview into the rows first, so that nothing announced is lost and versions go on growing. And it sets
    the normalizer's consumer group back to a day before the last event that the backup had taken in, so that nothing
    that was taken in and not announced is lost. It refuses while a normalizer runs.
    """
    settings = settings_or_exit(NormalizerSettings)
    if sum([every, bool(status), after_restore]) != 1:
        fail("say one of --all, --status or --after-restore", 2)

    async def main() -> None:
        counts: Counter[str] | None = None
        rewound: Rewound | None = None
        async with open_database(settings, SCHEMA) as database:
            if after_restore:
                rewound = await rewind_intake(database, settings.kafka, settings.instance)
                counts = Counter((await catch_up(database, settings.kafka)).values())
            columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} previews"))
            with Progress(*columns, console=errors, transient=True) as bar:
                line = bar.add_task("republishing", total=None)
                total = await republish_state(
                    database,
                    status or [],
                    expose_missing=settings.expose_missing,
                    done=lambda count: bar.advance(line, count),
                )
        if as_json:
            print_json({"republished": total, "after_restore": counts, "rewound": rewound and asdict(rewound)})
        else:
            if counts is not None:
                out.print(
                    f"the topic knew more of {counts.total()} previews: {counts[Found.BEHIND]} were behind, "
                    f"{counts[Found.ADDED]} had no row, {counts[Found.DELETED]} had been deleted"
                )
            if rewound is not None:
                since = rewound.since.isoformat(timespec="seconds") if rewound.since else "the earliest that is kept"
                out.print(f"intake reads events since {since} again: {rewound.records} records at most")
            out.print(f"{total} previews stand in the outbox")
        if counts and counts[Found.UNKNOWN]:
            fail(f"{counts[Found.UNKNOWN]} previews have no row, and records that are too old to make one of")

    run_guarded(main)
