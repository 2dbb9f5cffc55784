"""An import from Zou's database: `make bench-import`.

A database with Zou's columns holds `previews` rows; `stored` of them, spread over all ids, have their objects in
SeaweedFS. Measured is the command `rushes-kitsu import` from its start to its end, against PostgreSQL, SeaweedFS and
the embedded broker on the same machine.

previews_per_second: 100,000 in a minute are 1,667. keys_listed: what the listings gave, which is the larger part where
every preview has its objects.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
from rushes_embedded.stack import Stack
from rushes_runtime.store import Store, Unconditional
from rushes_schemas import PLACES, ObjectKind, object_key

from tests.bench.saying import say
from tests.integration.kitsu.bridge import kitsu_database
from tests.world import World

_TABLES: Final = """
    CREATE TABLE task (id uuid PRIMARY KEY, project_id uuid);
    INSERT INTO task SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 1000);
    CREATE TABLE preview_file (
        id uuid PRIMARY KEY, name varchar(250), original_name varchar(250), extension varchar(6), revision integer,
        position integer, file_size bigint, status varchar(255) NOT NULL, validation_status varchar(255),
        width integer, height integer, duration double precision, task_id uuid, person_id uuid, created_at timestamp)"""
_ROWS: Final = """
    INSERT INTO preview_file SELECT gen_random_uuid(), 'sh010', 'sh010.mov', 'mp4', 1, 1, 1000000, 'ready', 'neutral',
        1920, 1080, 4.0, (SELECT id FROM task LIMIT 1), NULL, now() FROM generate_series(1, $1)"""
_KINDS: Final = tuple(kind for kind in ObjectKind if kind not in {ObjectKind.SOURCE_PICTURE, ObjectKind.FILE})
_AT_ONCE: Final = 64


async def run(previews: int, stored: int) -> dict[str, Any]:
    """Fill, import once, and give the figures."""
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as name, Stack(Path(name) / "stack") as stack:
        world = World.make(stack, stack.broker, Path(name))
        url = stack.postgres.create_database("zou")
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        await connection.execute(_TABLES)
        await connection.execute(_ROWS, previews)
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM preview_file ORDER BY id")]
        await connection.close()
        async with world.store() as store, kitsu_database(world):
            say(f"storing {stored * len(_KINDS)} objects")
            await fill(store, ids[:: max(1, previews // stored)][:stored], Path(name) / "object")
            begun = time.monotonic()
            process = world.process("rushes-kitsu", "import", "--json", log="import", ZOU_DATABASE_URL=url)
            assert await asyncio.to_thread(process.wait) == 0
            seconds = time.monotonic() - begun
            world.processes.clear()
        said = (world.folder / "import.log").read_text()
        seen = json.loads(said[said.index("{") :])
        assert (seen["written"], seen["source"]) == (previews, stored), seen
    return {
        "previews": previews,
        "keys_listed": stored * len(_KINDS),
        "seconds": round(seconds, 1),
        "previews_per_second": round(previews / seconds),
    }


async def fill(store: Store, ids: list[UUID], file: Path) -> None:
    """Store the eight objects of each preview."""
    file.write_bytes(b"some bytes")
    places = iter([(PLACES[kind].bucket, object_key(kind, preview)) for preview in ids for kind in _KINDS])

    async def put() -> None:
        for bucket, key in places:
            await store.upload(bucket, key, file, content_type="video/mp4", condition=Unconditional())

    await asyncio.gather(*(put() for _ in range(_AT_ONCE)))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--previews", type=int, default=100_000, help="rows of Zou's (%(default)s)")
    parser.add_argument("--stored", type=int, default=10_000, help="of these, with objects (%(default)s)")
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(run(arguments.previews, arguments.stored))))


if __name__ == "__main__":
    main()
