"""Faults of processes: killed, paused, told to stop, hung, short of disk, with a clock that jumps."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from uuid import UUID

from tests.faults.plan import NORMALIZERS, S3_SITE, Fault
from tests.faults.private_mounts import fill
from tests.faults.processes import Supervised
from tests.faults.scene import Scene, together


async def kill(scene: Scene, fault: Fault) -> None:
    """SIGKILL."""
    for process in scene.chosen(fault.target):
        process.signal(signal.SIGKILL)


async def kill_in_job(scene: Scene, fault: Fault) -> None:
    """SIGKILL while it works on something."""
    (process,) = scene.chosen(fault.target)
    await scene.job_of(process)
    process.signal(signal.SIGKILL)


async def kill_in_upload(scene: Scene, fault: Fault) -> None:
    """SIGKILL while it copies an object to its site in parts."""
    (process,) = scene.chosen(fault.target)
    with scene.stage.s3.trap(S3_SITE, of_part=True) as trap:
        await scene.studio.upload("picture-3")
        with suppress(TimeoutError):
            await asyncio.wait_for(trap.sprung.wait(), 20)
        if trap.key:
            process.signal(signal.SIGKILL)


async def kill_asked_again(scene: Scene, fault: Fault) -> None:
    """SIGKILL while it works on a preview that was asked for again meanwhile."""
    (process,) = scene.chosen(fault.target)
    preview = await scene.job_of(process)
    if preview:
        process.signal(signal.SIGSTOP)  # so that the request comes in time
        await scene.studio.renormalize(preview)
        waits = "SELECT 1 FROM normalizer.task WHERE subject = $1 AND state = 'queued'"
        await scene.until(lambda: scene.stage.query(waits, str(preview)), bool, 6)
    process.signal(signal.SIGKILL)


async def kill_after_end(scene: Scene, fault: Fault) -> None:
    """SIGKILL in the moment in which a job of its own has ended."""
    (process,) = scene.chosen(fault.target)
    ended = "SELECT count(*) AS jobs FROM normalizer.task WHERE state = 'done' AND worker LIKE '%-' || $1"
    pid = str(process.pid)
    before = await scene.stage.query(ended, pid)
    await scene.until(lambda: scene.stage.query(ended, pid), lambda rows: rows[0]["jobs"] > before[0]["jobs"], 8)
    process.signal(signal.SIGKILL)


async def kill_cut_off(scene: Scene, fault: Fault) -> None:
    """Every normalizer is cut from the database for a while and killed before it is back."""
    chosen = [process for process in scene.chosen("all") if process.name in NORMALIZERS]
    proxies = [f"{scene.stage.name}-{process.name}" for process in chosen]
    toxiproxy = scene.stage.servers.toxiproxy
    try:
        await together(toxiproxy.disturb(proxy, "down") for proxy in proxies)
        await asyncio.sleep(fault.seconds)
        for process in chosen:
            process.signal(signal.SIGKILL)
    finally:
        await together(toxiproxy.heal(proxy) for proxy in proxies)


async def pause(scene: Scene, fault: Fault) -> None:
    """SIGSTOP, and SIGCONT after a while."""
    await _pause(scene.chosen(fault.target)[0], fault.seconds)


async def pause_in_job(scene: Scene, fault: Fault) -> None:
    """SIGSTOP while it works on something, for longer than its lease."""
    (process,) = scene.chosen(fault.target)
    await scene.job_of(process)
    await _pause(process, fault.seconds)


async def pause_in_publish(scene: Scene, fault: Fault) -> None:
    """Paused in mid-write of an output; the write goes on when another file of the preview was uploaded and made."""
    (process,) = scene.chosen(fault.target)
    with scene.stage.s3.trap(process.name) as trap:
        with suppress(TimeoutError):
            await asyncio.wait_for(trap.sprung.wait(), 15)
        if not trap.key:
            return
        pid = process.signal(signal.SIGSTOP)
        try:
            preview = next(each for each in scene.studio.previews if trap.key.endswith(str(each.id)))
            others = [f"movie-{number}" for number in range(6)] if preview.extension == "mp4" else ["picture-2"]
            held = preview.current.sample.name if preview.current and preview.current.sample else ""
            await scene.studio.reupload(preview.id, next(name for name in others if name != held or len(others) == 1))
            await asyncio.sleep(fault.seconds)
            generation = preview.current.generation if preview.current else 0
            made = (
                "SELECT 1 FROM normalizer.preview_file"
                " WHERE id = $1 AND status <> 'processing' AND upload_generation >= $2"
            )
            await scene.until(lambda: scene.stage.query(made, preview.id, generation), bool, 30)
        finally:
            trap.go_on.set()
            await asyncio.sleep(0.3)  # the write reaches the store before the one who sent it is awake
            if pid:
                process.signal(signal.SIGCONT, pid)


async def pause_relaying(scene: Scene, fault: Fault) -> None:
    """SIGSTOP when events have just come into the outbox, for longer than a lease."""
    (process,) = scene.chosen(fault.target)
    newest = "SELECT coalesce(max(id), 0) AS id FROM normalizer.outbox WHERE sent_at IS NULL"
    before = await scene.stage.query(newest)
    await scene.until(lambda: scene.stage.query(newest), lambda rows: rows[0]["id"] > before[0]["id"], 6)
    await asyncio.sleep(0.3)  # a relay has read them now
    await _pause(process, fault.seconds)


async def reupload_in_job(scene: Scene, fault: Fault) -> None:
    """Another file is uploaded for a preview whose job runs."""
    (process,) = scene.chosen(fault.target)
    preview = await scene.job_of(process)
    if preview:
        truth = scene.studio.truth_of(preview)
        if truth.extension == "mp4":
            held = truth.current.sample.name if truth.current and truth.current.sample else ""
            await scene.studio.reupload(preview, "movie-5" if held != "movie-5" else "movie-4")


async def _pause(process: Supervised, seconds: float) -> None:
    pid = process.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        if pid:
            process.signal(signal.SIGCONT, pid)


async def stop(scene: Scene, fault: Fault) -> None:
    """SIGTERM."""
    await scene.chosen(fault.target)[0].asked_to_stop()


async def stop_in_job(scene: Scene, fault: Fault) -> None:
    """SIGTERM in mid-encode."""
    (process,) = scene.chosen(fault.target)
    await scene.job_of(process)
    await process.asked_to_stop()


async def stop_twice(scene: Scene, fault: Fault) -> None:
    """SIGTERM, and again before it is gone."""
    await scene.chosen(fault.target)[0].asked_to_stop(twice=True)


async def hang_child(scene: Scene, fault: Fault) -> None:
    """SIGSTOP of what a normalizer has started: its ffmpeg hangs, and goes on after a while."""
    await _hang(scene, fault, let_go=True)


async def hang_child_for_good(scene: Scene, fault: Fault) -> None:
    """An ffmpeg that never goes on; its preview may end as `timeout`."""
    await _hang(scene, fault, let_go=False)


async def _hang(scene: Scene, fault: Fault, *, let_go: bool) -> None:
    (process,) = scene.chosen(fault.target)

    async def children() -> list[int]:
        return process.children()

    hung = await scene.until(children, bool, 6) or []
    if not let_go and hung:
        running = "SELECT subject FROM normalizer.task WHERE state = 'running' AND worker LIKE '%-' || $1"
        scene.hung.update(UUID(row["subject"]) for row in await scene.stage.query(running, str(process.pid)))
    for pid in hung:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    if let_go:
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            for pid in hung:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


async def clock_jump(scene: Scene, fault: Fault) -> None:
    """The wall clock of a process jumps by minutes or hours, and back after a while."""
    rng = random.Random(fault.number)
    flag = scene.stage.flag(f"clock-{fault.target}")
    flag.write_text(str(rng.choice([-7200, -300, 300, 7200])))
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        flag.unlink()


async def lying_encoder(scene: Scene, fault: Fault) -> None:
    """An encoder leaves half of a movie and says that all went well."""
    scene.lying_encoder = True
    flag = scene.stage.flag("lying-encoder")
    flag.touch()
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        flag.unlink()


async def disk_full(scene: Scene, fault: Fault) -> None:
    """A process's scratch disk has no room left."""
    ballast = await asyncio.to_thread(fill, scene.stage.scratch(fault.target))
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        with suppress(FileNotFoundError):  # a process that starts empties its scratch folder
            ballast.unlink()
