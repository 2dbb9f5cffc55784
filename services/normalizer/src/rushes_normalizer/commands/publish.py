"""`rushes-normalizer publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import typer
from pydantic import ValidationError
from rushes_runtime.commands import fail, open_database, print_json, run_guarded, settings_or_exit
from rushes_runtime.store import open_store
from rushes_schemas import Encoding

from rushes_normalizer.commands.output import Json, out
from rushes_normalizer.commands.waiting import ended_well, wait_for_ends
from rushes_normalizer.previews import SCHEMA
from rushes_normalizer.publish import open_sender, store_upload, upload_event
from rushes_normalizer.settings import NormalizerSettings


def publish(
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
            source = await store_upload(store, file, chosen_id, suffix, settings.kind(suffix))
        try:
            envelope = upload_event(chosen_id, suffix, source, optional)
        except ValidationError as error:
            fail(f"{file.name}: {error.errors()[0]['msg']} ({error.errors()[0]['loc'][0]})", 2)
        async with open_sender(settings.kafka) as sender:
            await sender.send([envelope])
        end = None
        if wait:
            async with open_database(settings, SCHEMA) as database:
                end = (await wait_for_ends(database, [envelope.event_id]))[envelope.event_id]
        outcome = end["outcome"] if end else None
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
        return 0 if end is None or ended_well(end) else 1

    run_guarded(main)
