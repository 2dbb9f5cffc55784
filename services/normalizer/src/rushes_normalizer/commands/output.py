"""What the commands share: where they print, and the switch for JSON."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import Console

# Names and messages come from uploads: brackets in them are no markup.
out: Final = Console(markup=False, highlight=False)
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")]
