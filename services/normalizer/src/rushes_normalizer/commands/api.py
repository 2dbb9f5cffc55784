"""`rushes-normalizer api` and `api-token`."""

from __future__ import annotations

import secrets
from typing import Annotated
from uuid import UUID

import typer
from pydantic import ValidationError
from rushes_runtime.commands import errors, fail, print_json, run_async, settings_or_exit
from rushes_runtime.failures import StartRefusedError
from rushes_runtime.settings import UnreadableSecretError

from rushes_normalizer.api.access import TokenGrant, UnreadableAccessError, hash_of
from rushes_normalizer.api.settings import ApiSettings


def api() -> None:
    """Answer API consumers over HTTP until SIGTERM or SIGINT. Run two or more behind one address.

    It needs a database address (DATABASE_URL) that may only read, Kafka, and a list of who may read what
    (API_ACCESS_FILE): see docs/api.md.
    """
    from rushes_normalizer.api import wiring  # noqa: PLC0415 - with FastAPI each command takes longer to start

    settings = settings_or_exit(ApiSettings)
    try:
        run_async(wiring.serve(settings))
    except (StartRefusedError, UnreadableAccessError, UnreadableSecretError) as error:
        fail(str(error), 2)


def api_token(
    name: Annotated[str, typer.Argument(help="Whose it is; stands on their requests.")],
    project_id: Annotated[list[UUID] | None, typer.Option(help="A project to see; may be given again.")] = None,
    all_projects: Annotated[bool, typer.Option("--all-projects", help="All projects, and previews of none.")] = False,
    renormalize: Annotated[bool, typer.Option("--renormalize", help="May have previews made again.")] = False,
) -> None:
    """Make a token for the API: the token on stderr, and its entry for the list of who may read what on stdout.

    The entry holds the token's hash. The token itself is kept nowhere: hand it over, and forget it.
    """
    if bool(project_id) == all_projects:
        fail("say --project-id, or --all-projects", 2)
    token = secrets.token_urlsafe(32)
    try:
        grant = TokenGrant(
            name=name,
            projects="all" if all_projects else frozenset(project_id or ()),
            renormalize=renormalize,
            sha256=hash_of(token),
        )
    except ValidationError:
        fail(f"{name!r} is no name: one to 100 characters, without commas and control characters", 2)
    errors.print(f"token: {token}", markup=False)
    print_json(grant.model_dump(mode="json"))
