"""Sources that cannot become a movie end with the right failure code, and never as a good-looking movie."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import psutil
import pytest
from rushes_normalizer.media.child import Child
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.make import Stage, make_movie
from rushes_normalizer.media.plan import plan_movie
from rushes_normalizer.media.probe import probe
from rushes_normalizer.media.verify import verify_by_decoding
from rushes_schemas.encoding import Encoding
from rushes_schemas.failures import FailureCode

from tests.movies import SMALL, ffmpeg, make, movie, tools
from tests.pace import pace

X264 = ("-c:v", "libx264", "-crf", "12")


async def refused(source: Path, limits: Limits | None = None) -> MediaError:
    with pytest.raises(MediaError) as caught:
        await make(source, limits=limits)
    assert str(source.parent) not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", FailureCode.SOURCE_EMPTY),
        (b"These are notes, not a movie.\n" * 50, FailureCode.NOT_A_MOVIE),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(500), FailureCode.CORRUPT),
    ],
    ids=["empty", "text", "header only"],
)
async def test_what_is_no_movie_is_named(tmp_path: Path, content: bytes, code: FailureCode) -> None:
    source = tmp_path / "upload.mp4"
    source.write_bytes(content)
    assert (await refused(source)).code is code


async def test_sound_alone_is_no_movie(tmp_path: Path) -> None:
    source = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.3", "-c:a", "aac", source)
    assert (await refused(source)).code is FailureCode.NOT_A_MOVIE


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n", "list.m3u8"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n", "list.mp4"),
        ("ffconcat version 1.0\nfile {secret}\n", "list.mp4"),
    ],
)
async def test_a_playlist_reads_no_other_file(tmp_path: Path, text: str, name: str) -> None:
    secret = movie(tmp_path / "secret.ts", *X264)
    os.utime(secret, (0, 10**9))  # so that any read would show
    source = tmp_path / name
    source.write_text(text.format(secret=secret))
    assert (await refused(source)).code is FailureCode.NOT_A_MOVIE
    assert secret.stat().st_atime == 0 or os.statvfs(tmp_path).f_flag & os.ST_NOATIME


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", X264),
        ("a.mov", ("-c:v", "prores_ks", "-movflags", "+faststart")),
        ("a.mov", ("-c:v", "prores_ks")),
        ("a.avi", ("-c:v", "mjpeg")),
    ],
    ids=["mkv", "mov, index first", "mov, index last", "avi"],
)
async def test_a_movie_that_was_cut_off_is_corrupt(tmp_path: Path, name: str, codec: tuple[str, ...]) -> None:
    whole = movie(tmp_path / name, *codec, frames=60).read_bytes()
    source = tmp_path / f"cut-{name}"
    source.write_bytes(whole[: len(whole) * 2 // 3])
    error = await refused(source)
    assert error.code is FailureCode.CORRUPT
    assert "was the upload interrupted?" in (error.for_artist or "")


@pytest.mark.parametrize(("codec", "name"), [("libx264", "a.ts"), ("mpeg2video", "a.ts"), ("mpeg2video", "a.mpg")])
async def test_a_broadcast_stream_that_ends_within_a_frame_is_corrupt(tmp_path: Path, codec: str, name: str) -> None:
    whole = movie(tmp_path / name, "-c:v", codec, "-b:v", "4M", "-vf", "noise=alls=60:allf=t").read_bytes()
    for packets in (len(whole) // 300, len(whole) // 400):
        source = tmp_path / f"cut-{packets}-{name}"
        source.write_bytes(whole[: 188 * packets])
        error = await refused(source)
        assert error.code is FailureCode.CORRUPT
        assert "a frame of the source is damaged" in error.message


@pytest.mark.parametrize("muxer", [(), ("-mpegts_m2ts_mode", "1")], ids=["188", "192"])
async def test_a_transport_stream_that_ends_within_a_packet_is_corrupt(tmp_path: Path, muxer: tuple[str, ...]) -> None:
    whole = movie(tmp_path / "a.ts", *X264, *muxer, frames=5).read_bytes()
    source = tmp_path / "cut.ts"
    source.write_bytes(whole[:-1])
    error = await refused(source)
    assert error.code is FailureCode.CORRUPT
    assert error.message == "the source ends too early: it has half a transport packet at its end"
    assert error.for_artist in [f"The file breaks off near frame {n}: was the upload interrupted?" for n in (4, 5)]


async def test_frames_that_cannot_be_decoded_are_corrupt(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mov", "-c:v", "prores_ks")
    content = bytearray(source.read_bytes())
    at = len(content) // 2
    frame = content.index(b"icpf", at)  # the start of a ProRes frame
    content[frame : frame + 200] = bytes(200)
    source.write_bytes(content)
    error = await refused(source)
    assert error.code is FailureCode.CORRUPT
    assert "19 of the source's 20 frames" in error.message


async def test_a_codec_without_a_decoder_is_unsupported(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mov", "-c:v", "png", "-pix_fmt", "rgb24")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    blind = replace(tools(), decoders=tools().decoders - {"png"})
    with pytest.raises(MediaError) as caught:
        await make_movie(
            blind, source, scratch, encoding=Encoding(), defaults=SMALL, limits=Limits(), progress=lambda _s, _f: None
        )
    assert caught.value.code is FailureCode.UNSUPPORTED_CODEC
    assert "png" in caught.value.message


async def test_three_frames_with_huge_timestamps_are_refused_before_any_encode(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mkv", *X264, "-vf", "setpts=N*900/TB", "-fps_mode", "passthrough", frames=3)
    error = await refused(source)
    assert error.code is FailureCode.LIMITS_EXCEEDED
    assert "900 s" in error.message


@pytest.mark.parametrize(
    "limits",
    [
        Limits(max_pixels=320 * 180 - 1),
        Limits(max_side=319),
        Limits(max_frames=19),
        Limits(max_duration_seconds=Fraction(1, 2)),
        Limits(max_source_bytes=1000),
        Limits(max_output_bytes=5_000),
        Limits(max_memory_bytes=300 * 1024**2),
    ],
    ids=lambda limits: str(next(name for name in vars(limits) if getattr(limits, name) != getattr(Limits(), name))),
)
async def test_each_limit_holds(tmp_path: Path, limits: Limits) -> None:
    tone = ("-f", "lavfi", "-i", "sine=duration=0.8")
    source = movie(tmp_path / "a.mp4", *X264, "-c:a", "aac", inputs=tone)
    assert (await refused(source, limits)).code is FailureCode.LIMITS_EXCEEDED


async def test_an_output_that_lost_frames_is_not_let_through(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", *X264)
    plan = plan_movie(await probe(tools(), source, tmp_path, Limits()), Encoding(), SMALL, Limits())
    short = movie(tmp_path / "short.mp4", *X264, frames=19)
    with pytest.raises(MediaError) as caught:
        await verify_by_decoding(tools(), short, plan, tmp_path, Limits(), on_line=lambda _line: None)
    assert caught.value.code is FailureCode.VERIFICATION_FAILED


async def test_a_cancelled_encode_leaves_no_process(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", *X264, frames=250)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = set(psutil.Process().children(recursive=True))  # the servers that other tests share
    encoding_goes_on = asyncio.Event()
    seen: set[float] = set()

    def progress(stage: Stage, fraction: float) -> None:
        if stage is Stage.ENCODING:
            seen.add(fraction)
            if len(seen) > 1:
                encoding_goes_on.set()

    job = asyncio.create_task(
        make_movie(
            tools(),
            source,
            scratch,
            encoding=Encoding(width=1920, height=1080, preset="medium"),
            defaults=SMALL,
            limits=Limits(),
            progress=progress,
        )
    )
    await encoding_goes_on.wait()
    children = [child for child in psutil.Process().children(recursive=True) if child not in before]
    assert any("ffmpeg" in child.name() for child in children)
    job.cancel()
    cancelled_at = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert time.monotonic() - cancelled_at < 5 * pace()  # killed, not waited for
    assert not [child for child in children if child.is_running()]
    after = [child for child in psutil.Process().children() if child not in before]
    assert not [child for child in after if child.status() == psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("turns", [1, 2, 3, 4])
async def test_a_child_cancelled_while_it_starts_leaves_no_pipe_open(tmp_path: Path, turns: int) -> None:
    starting = asyncio.create_task(
        Child.start(["/bin/sleep", "60"], descriptors=(), cwd=tmp_path, env={}, line_limit=1024)
    )
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    del starting
    gc.collect()  # pytest fails a test that leaves a file for the collector to close


_WORKER = """
import asyncio, sys
from pathlib import Path
from tests.movies import SMALL, tools
from rushes_normalizer.media import Limits, make_movie
from rushes_schemas.encoding import Encoding
asyncio.run(make_movie(tools(), Path(sys.argv[1]), Path(sys.argv[2]), encoding=Encoding(width=3840, height=2160),
    defaults=SMALL, limits=Limits(), progress=lambda stage, fraction: print(stage.value, fraction, flush=True)))
"""


@pytest.mark.extended
def test_a_killed_worker_leaves_no_ffmpeg(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", *X264, frames=250)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", _WORKER, source, scratch], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        while worker.stdout.readline().split()[0] != Stage.ENCODING:
            pass
        worker.stdout.readline()  # frames are being encoded
        children = psutil.Process(worker.pid).children(recursive=True)
        assert any("ffmpeg" in child.name() for child in children)
        worker.kill()
    _, alive = psutil.wait_procs(children, timeout=5 * pace())
    assert not alive


async def test_progress_never_falls_and_tells_of_frames_while_they_are_encoded(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", *X264, frames=200)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    seen: list[tuple[Stage, float]] = []
    await make_movie(
        tools(),
        source,
        scratch,
        encoding=Encoding(width=1280, height=720),
        defaults=SMALL,
        limits=Limits(),
        progress=lambda stage, fraction: seen.append((stage, fraction)),
    )
    stages = [stage for stage, _ in seen]
    assert stages == sorted(stages, key=list(Stage).index)
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    # A quarter of a second lies between two; most frames must not go by in silence.
    encoding = [fraction for stage, fraction in seen if stage is Stage.ENCODING]
    assert len(encoding) > 2
    assert encoding[1] < 0.5
