"""Movies for the benchmarks, made by ffmpeg."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rushes_normalizer.media.tools import Tools

MEGABYTE: Final = 1_000_000
RATE: Final = 24
# A slow pan over one large fractal with film grain: detail everywhere, motion, and noise that costs bits.
_PAN: Final = (
    f"mandelbrot=size=2880x1620:rate={RATE}:maxiter=512,trim=end_frame=1,loop=-1:1,setpts=N/{RATE}/TB,"
    "crop=1920:1080:x='mod(n,900)':y='mod(n,500)',noise=alls=8:allf=t"
)


async def make_long_movie(tools: Tools, path: Path, seconds: float) -> None:
    """An H.264 movie of 1080p with sound, as an artist would upload it."""
    await _ffmpeg(
        tools,
        *("-f", "lavfi", "-i", _PAN, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"),
        *("-t", str(seconds), "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", "-movflags", "+faststart", str(path)),
    )


async def make_movie_of_size(tools: Tools, path: Path, megabytes: int) -> None:
    """An uncompressed movie of about that size: the larger ones are 1080p and some seconds long."""
    width, height = (1920, 1080) if megabytes >= 50 else (640, 360)
    frames = max(2, round(megabytes * MEGABYTE / (width * height * 2)))
    await _ffmpeg(
        tools,
        *("-f", "lavfi", "-i", f"testsrc2=size={width}x{height}:rate={RATE},noise=alls=20:allf=t"),
        *("-frames:v", str(frames), "-c:v", "rawvideo", "-pix_fmt", "uyvy422", str(path)),
    )


async def _ffmpeg(tools: Tools, *arguments: str) -> None:
    code, said = await _run([str(tools.ffmpeg), "-nostdin", "-v", "error", "-y", *arguments])
    if code:
        msg = f"ffmpeg could not make {arguments[-1]}: {said}"
        raise RuntimeError(msg)


async def _run(command: Sequence[str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")
