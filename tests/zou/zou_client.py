"""The calls that Kitsu makes of Zou's API when an artist uploads a movie and a reviewer plays it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import aiohttp

from tests.zou.zou_server import ADMIN, PASSWORD

# The routes that a player asks, with the object that stands behind each: bucket and prefix.
ROUTES: Final = {
    "/movies/originals/preview-files/{}.mp4": ("movies", "previews"),
    "/movies/low/preview-files/{}.mp4": ("movies", "lowdef"),
    "/pictures/thumbnails/preview-files/{}.png": ("pictures", "thumbnails"),
    "/pictures/thumbnails-square/preview-files/{}.png": ("pictures", "thumbnails-square"),
    "/pictures/previews/preview-files/{}.png": ("pictures", "previews"),
    "/movies/tiles/preview-files/{}.png": ("pictures", "tiles"),
}


@dataclass
class Client:
    """A logged-in user, with one task to upload to."""

    session: aiohttp.ClientSession
    token: str = ""
    task: dict[str, Any] = field(default_factory=dict)
    task_status: str = ""

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of an answer that must be good."""
        async with self.session.request(method, path, **options) as answer:
            text = await answer.text()
            assert answer.status in {200, 201}, f"{method} {path}: {answer.status} {text[:2000]}"
            return await answer.json()

    async def make_task(self, *, resolution: str, fps: str) -> None:
        """A production of that resolution and rate, with one shot and one task."""
        project = await self.call("POST", "/data/projects", json={"name": f"Production {uuid4()}"})
        await self.call("PUT", f"/data/projects/{project['id']}", json={"resolution": resolution, "fps": fps})
        sequence = await self.call("POST", f"/data/projects/{project['id']}/sequences", json={"name": "SQ01"})
        shot = {"name": "SH01", "sequence_id": sequence["id"]}
        shot = await self.call("POST", f"/data/projects/{project['id']}/shots", json=shot)
        types = await self.call("GET", "/data/task-types")
        kind = next(each for each in types if each["for_entity"] == "Shot")
        (self.task,) = await self.call(
            "POST",
            f"/actions/projects/{project['id']}/task-types/{kind['id']}/shots/create-tasks",
            json=[shot["id"]],
        )
        statuses = await self.call("GET", "/data/task-status")
        self.task_status = statuses[0]["id"]

    async def upload(self, movie: Path) -> UUID:
        """Comment the task, and give the comment a movie; the preview's id."""
        path = f"/actions/tasks/{self.task['id']}"
        comment = await self.call("POST", f"{path}/comment", json={"task_status_id": self.task_status, "comment": ""})
        preview = await self.call("POST", f"{path}/comments/{comment['id']}/add-preview", json={})
        with movie.open("rb") as file:
            form = aiohttp.FormData()
            kind = "image/png" if movie.suffix == ".png" else "video/mp4"
            form.add_field("file", file, filename=movie.name, content_type=kind)
            await self.call("POST", f"/pictures/preview-files/{preview['id']}", data=form)
        return UUID(preview["id"])

    async def playlist(self, *previews: UUID) -> str:
        """A playlist of these previews; its id."""
        shots = [{"entity_id": self.task["entity_id"], "preview_file_id": str(each)} for each in previews]
        playlist = {"name": f"Review {uuid4()}", "project_id": self.task["project_id"], "for_entity": "shot"}
        made = await self.call("POST", "/data/playlists", json={**playlist, "shots": shots})
        return str(made["id"])

    async def build(self, playlist: str, *, full: bool = False) -> str:
        """Have a playlist built; the id of the build."""
        path = f"/data/playlists/{playlist}/build/mp4"
        job = await self.call("GET", path, params={"full": str(full).lower()})
        return str(job["id"])

    async def build_status(self, playlist: str, build: str) -> str:
        """What has become of a build."""
        return str((await self.call("GET", f"/data/playlists/{playlist}/jobs/{build}"))["status"])

    async def preview(self, preview_file_id: UUID) -> dict[str, Any]:
        """A preview as the API gives it."""
        found: dict[str, Any] = await self.call("GET", f"/data/preview-files/{preview_file_id}")
        return found

    async def status(self, preview_file_id: UUID) -> str:
        """Its status."""
        return str((await self.preview(preview_file_id))["status"])

    async def served(self, route: str, preview_file_id: UUID) -> bytes:
        """What one of the routes of a player serves."""
        async with self.session.get(route.format(preview_file_id)) as answer:
            assert answer.status == 200, f"{answer.url}: {answer.status}"
            return await answer.read()


@asynccontextmanager
async def logged_in(address: str) -> AsyncIterator[Client]:
    """A client of a Zou, as its administrator."""
    async with aiohttp.ClientSession(address) as session:
        login = Client(session)
        answer = await login.call("POST", "/auth/login", json={"email": ADMIN, "password": PASSWORD})
        login.token = answer["access_token"]
        session.headers["Authorization"] = f"Bearer {login.token}"
        yield login
