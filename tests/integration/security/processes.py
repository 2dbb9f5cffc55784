"""The services as processes, each with what it may have."""

from __future__ import annotations

from collections.abc import Sequence

from rushes_embedded.leash import Leash

from tests.secured import Secured

_COMMANDS = {
    "control": ("rushes-normalizer", "run", "--roles", "intake,relay,janitor"),
    "worker": ("rushes-normalizer", "run", "--roles", "worker"),
    "syncer": ("rushes-syncer", "run"),
    "kitsu": ("rushes-kitsu", "serve"),
    "kitsu-follow": ("rushes-kitsu", "follow"),
    "kitsu-builder": ("rushes-kitsu", "build"),
}


_USUAL = ("control", "worker", "syncer")


def started(secured: Secured, *names: str, **settings: str) -> Sequence[Leash]:
    """Some of the processes, by default all but the bridge, each with a log of its name."""
    return [secured.as_(name).process(*_COMMANDS[name], log=name, **settings) for name in names or _USUAL]


def log_of(secured: Secured, name: str) -> list[str]:
    """What a process has logged."""
    return (secured.world.folder / f"{name}.log").read_text().splitlines()
