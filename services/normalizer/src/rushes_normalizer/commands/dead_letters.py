"""`rushes-normalizer dead-letters list | show | redrive`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table
from rushes_runtime.commands import errors, fail, print_json, run_guarded, settings_or_exit
from rushes_runtime.dead_letters import DeadLetter, list_letters, read_letters, redrive
from rushes_runtime.settings import KafkaClientSettings

from rushes_normalizer.commands.output import Json, out
from rushes_normalizer.intake import CONTRACTS_BY_TOPIC

_SERVICE = "normalizer"
_SHOWN_CHARACTERS = 4000
Reason = Annotated[str | None, typer.Option(help="Only letters with this reason, such as `invalid`.")]

dead_letters = typer.Typer(
    no_args_is_help=True,
    help="Records that could not be taken in: look at them, mend them, send them again. Needs only Kafka.",
)


@dead_letters.command("list")
def list_command(
    reason: Reason = None,
    redriven: Annotated[bool, typer.Option("--redriven", help="Also those that were sent again.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first. Reasons are explained in docs/events.md."""
    settings = settings_or_exit(KafkaClientSettings)

    async def main() -> None:
        letters = await list_letters(settings.kafka, _SERVICE)
        chosen = [letter for letter in letters if _fits(letter, reason) and (redriven or not letter.redriven)]
        if as_json:
            print_json({"letters": [letter.facts() for letter in chosen[:limit]], "total": len(chosen)})
            return
        table = Table(Column("id", no_wrap=True), "since", "reason", "topic", "key", "detail", box=None)
        for letter in chosen[:limit]:
            facts = letter.facts()
            table.add_row(
                letter.id,
                f"{letter.at:%Y-%m-%d %H:%M:%S}",
                f"{letter.reason}{' (redriven)' if letter.redriven else ''}",
                letter.topic,
                facts["key"] or "",
                letter.detail,
            )
        out.print(table)
        out.print(f"{len(chosen)} dead letters" + (f", the newest {limit} shown" if len(chosen) > limit else ""))

    run_guarded(main)


@dead_letters.command()
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` prints it, such as 0-17.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Print the value only, as it came: into a file, to be mended.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show one dead letter: why it was put aside, its headers, its value."""
    settings = settings_or_exit(KafkaClientSettings)

    async def main() -> None:
        async for letter in read_letters(settings.kafka, _SERVICE):
            if isinstance(letter, DeadLetter) and letter.id == letter_id:
                _show(letter, raw=raw, as_json=as_json)
                return
        fail(f"no dead letter {letter_id}")

    run_guarded(main)


def _show(letter: DeadLetter, *, raw: bool, as_json: bool) -> None:
    value = letter.value or b""
    if raw:
        sys.stdout.buffer.write(value)
        return
    facts = letter.facts()
    text = value.decode(errors="backslashreplace")
    if as_json:
        print_json({**facts, "value": text})
        return
    for name in ("id", "at", "reason", "detail", "topic", "partition", "offset", "key", "size", "truncated"):
        out.print(f"{name:<10} {facts[name]}")
    for name, header in facts["headers"].items():
        out.print(f"{'header':<10} {name}: {header}")
    out.print(text[:_SHOWN_CHARACTERS])
    if len(text) > _SHOWN_CHARACTERS:
        out.print(f"… {len(text) - _SHOWN_CHARACTERS} more characters: --raw prints all")


@dead_letters.command("redrive")
def redrive_command(
    letter_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As `list` prints them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that were not sent again yet.")] = False,
    reason: Reason = None,
    value: Annotated[
        Path | None, typer.Option(help="With one ID: the mended value to send instead.", exists=True, dir_okay=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Send dead letters again to the topic that they came on.

    A letter that would be refused again is not sent, and the command ends with code 1. One that is sent twice counts
    once. Whether it was taken in this time shows on `list`: a new letter stands there, or none.

    After an upgrade that reads them:   dead-letters redrive --reason unknown_version
    A publisher's fault, mended:        dead-letters show 0-17 --raw > value.json
                                        dead-letters redrive 0-17 --value value.json
    """
    settings = settings_or_exit(KafkaClientSettings)
    named = list(letter_ids or ())
    if bool(named) == (every or reason is not None):
        fail("name letters by their IDs, or choose them by --all or --reason", 2)
    if value and len(named) != 1:
        fail("--value takes the place of one letter's value: name one ID", 2)

    async def main() -> int:
        ids = named or [
            letter.id
            for letter in await list_letters(settings.kafka, _SERVICE)
            if not letter.redriven and _fits(letter, reason)
        ]
        mended = value.read_bytes() if value else None
        results = await redrive(
            settings.kafka, _SERVICE, CONTRACTS_BY_TOPIC, frozenset(ids), mended=mended, dry_run=dry_run
        )
        refused = {each: results.get(each, "no such letter") for each in ids if results.get(each, "") is not None}
        sent = [each for each in ids if each not in refused]
        if as_json:
            print_json({"sent": sent, "refused": refused, "dry_run": dry_run})
        else:
            for each, why in refused.items():
                errors.print(f"{each} was not sent: {why}", markup=False)
            out.print(f"{len(sent)} letters {'would be sent' if dry_run else 'sent'} again")
        return 1 if refused else 0

    run_guarded(main)


def _fits(letter: DeadLetter, reason: str | None) -> bool:
    return reason is None or letter.reason == reason
