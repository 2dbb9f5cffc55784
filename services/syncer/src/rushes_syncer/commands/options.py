"""Options that commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from rushes_runtime.commands import fail

from rushes_syncer.deciding import SyncRules
from rushes_syncer.quantities import parse_bytes, parse_moment
from rushes_syncer.settings import SyncerSettings

Value = TypeVar("Value")

Sites = Annotated[list[str] | None, typer.Option("--site", help="Only this site; may be given again. Default: all.")]
Project = Annotated[UUID | None, typer.Option("--project", help="Only previews of this project: its id.")]
# The name of before.
ProjectId = Annotated[UUID | None, typer.Option("--project-id", hidden=True)]
Source = Annotated[
    str | None, typer.Option(help="A site to copy from. Default: the main store.", metavar="SITE", show_default=False)
]
SkipBroken = Annotated[bool | None, typer.Option(help="Default: SKIP_BROKEN.")]
SkipMissing = Annotated[bool | None, typer.Option(help="Default: SKIP_MISSING.")]
Workers = Annotated[int, typer.Option("--number-workers", min=1, max=256, help="Copies at once, for each site.")]
# Zou's own command spells it without the second t.
Attempts = Annotated[
    int, typer.Option("--number-attempts", "--number-attemps", min=1, max=20, help="Tries of each object.")
]
Bandwidth = Annotated[
    str | None,
    typer.Option(
        help="Bytes a second of all copies to a site together, such as 50M or 1G. Default: the site's BANDWIDTH.",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(help="Only what has changed at the source since: 2026-11-01, 2026-11-01T12:30 (UTC), 36h, 7d."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def chosen_sites(settings: SyncerSettings, chosen: list[str] | None) -> frozenset[str]:
    """The sites that are named, or all; one that the settings do not know ends the process with code 2."""
    names = frozenset(chosen or settings.sites)
    if unknown := names - set(settings.sites):
        fail(f"--site {', '.join(sorted(unknown))}: SITES knows {', '.join(sorted(settings.sites))}", 2)
    return names


def chosen_source(settings: SyncerSettings, source: str | None, names: frozenset[str]) -> None:
    """A source that is no site, or is the only target, ends the process with code 2."""
    if source is not None and source not in settings.sites:
        fail(f"--source {source}: SITES knows {', '.join(sorted(settings.sites))}", 2)
    if source is not None and names == {source}:
        fail(f"--source {source}: a site is not copied to itself; name another with --site", 2)


def given_rules(settings: SyncerSettings, site: str, skip_broken: bool | None, skip_missing: bool | None) -> SyncRules:
    """A site's rules, with what the command line says instead."""
    given: dict[str, Any] = {"skip_broken": skip_broken, "skip_missing": skip_missing}
    return replace(settings.rules_of(site), **{name: value for name, value in given.items() if value is not None})


def given_bandwidth(settings: SyncerSettings, text: str | None, names: Iterable[str]) -> dict[str, int | None]:
    """Bytes a second by site: `--bandwidth`, or what its settings say."""
    given = None if text is None else _parsed("--bandwidth", parse_bytes, text)
    return {name: given or settings.sites[name].bandwidth for name in names}


def given_since(text: str | None) -> datetime | None:
    """`--since` as a moment."""
    return None if text is None else _parsed("--since", lambda each: parse_moment(each, datetime.now(UTC)), text)


def _parsed(option: str, parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except ValueError as error:
        fail(f"{option}: {error}", 2)
