"""`rushes-normalizer absences`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rushes_runtime.commands import open_database, print_json, run_guarded, settings_or_exit

from rushes_normalizer.absences import accept as accept_absences
from rushes_normalizer.absences import is_flood, look_back
from rushes_normalizer.commands.output import Json, out
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.settings import AbsenceSettings


def absences(
    accept: Annotated[
        bool, typer.Option("--accept", help="The sources are gone: let previews become missing.")
    ] = False,
    minutes: Annotated[int, typer.Option(min=1, max=10_080, help="With --accept: for so long.")] = 60,
    as_json: Json = False,
) -> None:
    """Show whether a flood of absent sources keeps previews from becoming missing; exit 1 if so.

    First look at the store: were objects lost, is a restore incomplete, is it the right bucket? A flood ends by itself
    once the objects are back. If they are gone for good, --accept lets absences count for a while, and may be repeated.
    """
    settings = settings_or_exit(AbsenceSettings)
    limits = settings.flood_limits()

    async def main() -> int:
        async with open_database(settings, SCHEMA) as database, database.begin() as connection:
            if accept:
                await accept_absences(connection, minutes * 60.0)
            looks = await look_back(connection, limits)
        flood = is_flood(looks, limits)
        if as_json:
            print_json({"flood": flood, **asdict(looks)})
        else:
            out.print(
                f"{'a flood' if flood else 'no flood'}: {looks.absent} sources absent ({looks.held} held), "
                f"{looks.present} read in the last {limits.window:g} s"
                + (
                    f"; absences are accepted until {looks.accepted_until:%Y-%m-%d %H:%M:%S %Z}"
                    if looks.accepted_until
                    else ""
                )
            )
        return 1 if flood else 0

    run_guarded(main)
