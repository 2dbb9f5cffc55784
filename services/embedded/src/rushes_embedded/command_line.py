"""The command line of the embedded stack: what `make demo`, `make up` and `make down` call."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from rich.console import Console

from rushes_embedded.demo import SETTINGS, Demo
from rushes_embedded.leash import StartError
from rushes_embedded.studio import Studio

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Rushes and all that it needs on one machine: PostgreSQL, an S3 server, a Kafka broker, ffmpeg, from wheels.",
)
console = Console(highlight=False)
Folder = Annotated[Path, typer.Option(help="Where data, logs and files go.")]
_DOWN_SECONDS: Final = 90.0


@app.command()
def demo(
    folder: Folder = Path(".rushes/demo"),
    movies: Annotated[Path | None, typer.Option(help="A folder of your own movies and pictures.")] = None,
) -> None:
    """Upload a dozen movies and pictures, good and bad, and watch what becomes of them.

    Exit 0 only if each preview ended as it must.
    """
    _terminable()
    began = time.monotonic()
    _clear(folder)
    good = False
    try:
        with console.status("starting PostgreSQL, S3, Kafka and the services"):
            studio = Studio(folder, SETTINGS).__enter__()
        try:
            console.print(f"the stack and both services run ({time.monotonic() - began:.1f} s)")
            good = asyncio.run(Demo(studio, console).run(movies))
        finally:
            with console.status("stopping"):
                studio.__exit__(None, None, None)
    except (StartError, ValueError) as error:
        console.print(f"[red]{error}", soft_wrap=True)
    except KeyboardInterrupt:
        console.print("stopped")
        raise typer.Exit(130) from None
    verdict = "every preview ended as it must" if good else "[red]not every preview ended as it must"
    console.print(f"\n{verdict}, after {time.monotonic() - began:.0f} s")
    raise typer.Exit(0 if good else 1)


@app.command()
def up(folder: Folder = Path(".rushes/up")) -> None:
    """Keep the stack and both services running until Ctrl-C or `make down`.

    The stack is for trying: its data end with it, logs and the second site's files stay until the next start.
    """
    _terminable()
    _clear(folder)
    try:
        with Studio(folder, SETTINGS) as studio:
            (folder / "up.pid").write_text(str(os.getpid()), encoding="ascii")
            for name, address in studio.addresses.items():
                console.print(f"{name:18} {address}", soft_wrap=True)
            console.print(f"{'S3 key':18} {studio.stack.objects.access_key_id}")
            console.print(f"{'S3 secret':18} {studio.stack.objects.secret_access_key}")
            console.print(f"{'logs':18} {studio.stack.logs}", soft_wrap=True)
            file = studio.environment_file()
            console.print("\nTo use the command lines in another terminal:", soft_wrap=True)
            console.print(f"  set -a; . {file}; set +a", soft_wrap=True)
            console.print("  .venv/bin/rushes-normalizer publish --wait MOVIE", soft_wrap=True)
            console.print("\nCtrl-C or `make down` ends it.")
            while True:
                studio.check()
                time.sleep(0.5)
    except StartError as error:
        console.print(f"[red]{error}", soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("the stack is down")
    finally:
        (folder / "up.pid").unlink(missing_ok=True)


@app.command()
def down(folder: Folder = Path(".rushes/up")) -> None:
    """End what `up` keeps running; nothing running is no error."""
    file = folder / "up.pid"
    try:
        pid = int(file.read_text(encoding="ascii"))
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        file.unlink(missing_ok=True)
        console.print("nothing runs here")
        return
    deadline = time.monotonic() + _DOWN_SECONDS
    while file.exists():  # `up` removes it last
        if time.monotonic() > deadline:
            console.print(f"[red]process {pid} does not end")
            raise typer.Exit(1)
        time.sleep(0.1)
    console.print("the stack is down")


def _clear(folder: Path) -> None:
    """What an earlier run left for reading goes at the next start; a running stack keeps its own."""
    if (folder / "up.pid").exists():
        return
    for name in ("second-site", "uploads", "scratch"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _terminable() -> None:
    """Let SIGTERM and SIGHUP end us as Ctrl-C does: through all that must be stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
