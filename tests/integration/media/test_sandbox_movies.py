"""Movies made to reach what is not theirs: refused by the lists of what is read, and by the sandbox behind them."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rushes_normalizer.media.allowlists import CODECS
from rushes_normalizer.media.blame import blame
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.process import ChildError, run
from rushes_schemas.encoding import Encoding
from rushes_schemas.failures import FailureCode
from rushes_schemas.outputs import ObjectKind

from tests.confined import needs_landlock, needs_seccomp
from tests.movies import ffmpeg, make, movie, of, tools

X264 = ("-c:v", "libx264", "-crf", "12")


async def refused(source: Path, limits: Limits | None = None) -> MediaError:
    with pytest.raises(MediaError) as caught:
        await make(source, limits=limits)
    return caught.value


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def nobody_came(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return True
    return False


async def confined_ffmpeg(scratch: Path, *arguments: str | Path) -> str:
    """ffmpeg without any list of what is read, so that only the sandbox stands in its way; its complaints."""
    argv = [str(tools().ffmpeg), "-nostdin", "-loglevel", "level+verbose", *map(str, arguments)]
    with pytest.raises(ChildError) as caught:
        await run([*argv, "-f", "null", "-"], scratch=scratch, limits=Limits())
    return "\n".join(caught.value.log.complaints)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.1:{port}/a.m3u8\n",
        "ffconcat version 1.0\nfile http://127.0.0.1:{port}/a.mp4\n",
        '<MPD><BaseURL>http://127.0.0.1:{port}/</BaseURL><Period><AdaptationSet mimeType="video/mp4"/></Period></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} TCP/RTP/AVP 96\n",
        "[Reference]\nRef1=http://127.0.0.1:{port}/a.mp4\n",
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:{port}/"/></svg>',
    ],
    ids=["playlist", "master playlist", "concat script", "DASH manifest", "SDP", "ASX reference", "SVG"],
)
async def test_a_list_named_mp4_connects_to_nobody(tmp_path: Path, listener: socket.socket, text: str) -> None:
    source = tmp_path / "list.mp4"
    source.write_text(text.format(port=listener.getsockname()[1]))
    assert (await refused(source)).code is FailureCode.NOT_A_MOVIE
    assert nobody_came(listener)


async def test_a_concat_script_of_the_password_file_is_no_movie(tmp_path: Path) -> None:
    source = tmp_path / "list.mp4"
    source.write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    error = await refused(source)
    assert error.code is FailureCode.NOT_A_MOVIE
    assert "root" not in error.message


def pointing_elsewhere(path: Path, target: Path) -> Path:
    """A movie whose samples lie in another file: its data reference is an alias (QuickTime file format, `dref`)."""
    movie(path, *X264, "-movflags", "+faststart")
    whole = path.read_bytes()
    own = b"\0\0\0\x0curl \0\0\0\x01"  # in this very file
    assert whole.count(own) == 1
    name = str(target).encode()
    record = bytes(10) + b"\x03vol".ljust(28, b"\0") + bytes(12)
    record += bytes([len(target.name)]) + target.name.encode().ljust(63, b"\0") + bytes(16)
    record += struct.pack(">hh", -1, -1) + bytes(16)
    record += struct.pack(">hh", 2, len(name)) + name + bytes(len(name) % 2) + struct.pack(">hh", -1, 0)
    alias = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record
    grown = whole.replace(own, alias)
    # Each box around it is longer by as much, and the samples that follow lie later.
    more = len(alias) - len(own)
    at = whole.index(own)
    for box in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = whole.rindex(box, 0, at) - 4
        (size,) = struct.unpack_from(">I", grown, start)
        grown = grown[:start] + struct.pack(">I", size + more) + grown[start + 4 :]
    path.write_bytes(grown)
    return path


async def test_a_movie_whose_frames_lie_in_another_file_is_refused(tmp_path: Path) -> None:
    secret = movie(tmp_path / "secret.mov", *X264, "-movflags", "+faststart")
    source = pointing_elsewhere(tmp_path / "a.mov", secret)
    follow = ("-enable_drefs", "1", "-use_absolute_path", "1")
    ffmpeg(*follow, "-i", source, "-frames:v", "1", "-f", "null", "-")  # the reference holds
    assert (await refused(source)).code is FailureCode.CORRUPT


@needs_landlock
async def test_a_reference_that_is_followed_ends_at_the_sandbox(tmp_path: Path) -> None:
    elsewhere, scratch = tmp_path / "elsewhere", tmp_path / "scratch"
    elsewhere.mkdir()
    scratch.mkdir()
    secret = movie(elsewhere / "secret.mov", *X264, "-movflags", "+faststart")
    source = pointing_elsewhere(scratch / "a.mov", secret)
    follow = ("-xerror", "-enable_drefs", "1", "-use_absolute_path", "1", "-i", source, "-map", "0:v")
    ffmpeg(*follow, "-f", "null", "-")  # without the sandbox it plays
    assert f"error opening alias: path='{secret}'" in await confined_ffmpeg(scratch, *follow)


@needs_landlock
async def test_a_concat_script_that_is_followed_ends_at_the_sandbox(tmp_path: Path) -> None:
    elsewhere, scratch = tmp_path / "elsewhere", tmp_path / "scratch"
    elsewhere.mkdir()
    scratch.mkdir()
    secret = movie(elsewhere / "secret.mp4", *X264)
    (scratch / "list.mp4").write_text(f"ffconcat version 1.0\nfile {secret}\n")
    script = ("-f", "concat", "-safe", "0", "-i", scratch / "list.mp4")
    ffmpeg(*script, "-f", "null", "-")  # without the sandbox it plays
    assert "Permission denied" in await confined_ffmpeg(scratch, *script)


@needs_landlock
async def test_the_password_file_is_no_input(tmp_path: Path) -> None:
    assert "Permission denied" in await confined_ffmpeg(tmp_path, "-f", "data", "-i", "/etc/passwd", "-map", "0")


@needs_seccomp
@pytest.mark.parametrize("address", ["http://127.0.0.1:{}/a.mp4", "tcp://127.0.0.1:{}", "udp://127.0.0.1:{}"])
async def test_an_address_that_is_followed_ends_at_the_sandbox(
    tmp_path: Path, listener: socket.socket, address: str
) -> None:
    said = await confined_ffmpeg(tmp_path, "-i", address.format(listener.getsockname()[1]))
    assert "Operation not permitted" in said
    assert nobody_came(listener)


async def test_what_is_attached_to_a_movie_stays_in_it(tmp_path: Path) -> None:
    attached = tmp_path / "evil.ttf"
    attached.write_bytes(b"not a font" * 100)
    attach = ("-attach", attached, "-metadata:s:t", "mimetype=application/x-truetype-font")
    made = await make(movie(tmp_path / "a.mkv", *X264, *attach, "-metadata:s:t", "filename=/etc/cron.d/evil"))
    left = {path.name for path in of(made, ObjectKind.TILE).parent.iterdir()}
    assert left == {output.path.name for output in made.outputs}


async def test_magicyuv_is_not_read(tmp_path: Path) -> None:
    error = await refused(movie(tmp_path / "a.mkv", "-c:v", "magicyuv"))
    assert error.code is FailureCode.UNSUPPORTED_CODEC
    assert "magicyuv is not one of those that are read" in error.message


async def test_magicyuv_behind_a_good_stream_is_not_read_either(tmp_path: Path) -> None:
    second = ("-map", "0", "-map", "0", "-c:v:0", "libx264", "-c:v:1", "magicyuv")
    error = await refused(movie(tmp_path / "a.mkv", *second))
    assert (error.code, "magicyuv" in error.message) == (FailureCode.UNSUPPORTED_CODEC, True)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", ("-c:v", "ffv1")),
        ("a.avi", ("-c:v", "huffyuv")),
        ("a.avi", ("-c:v", "utvideo")),
        ("a.mov", ("-c:v", "qtrle", "-pix_fmt", "rgb24")),
        ("a.mov", ("-c:v", "cfhd", "-pix_fmt", "yuv422p10le")),
        ("a.mov", ("-c:v", "v210", "-pix_fmt", "yuv422p10le")),
        ("a.mxf", ("-c:v", "jpeg2000")),
        ("a.mxf", ("-c:v", "mpeg2video")),
        ("a.mov", ("-c:v", "dnxhd", "-profile:v", "dnxhr_sq", "-pix_fmt", "yuv422p")),
        ("a.wmv", ("-c:v", "wmv2")),
        ("a.avi", ("-c:v", "msmpeg4")),
        ("a.flv", ("-c:v", "flv")),
        ("a.webm", ("-c:v", "libvpx", "-b:v", "1M")),
        ("a.webm", ("-c:v", "libvpx-vp9", "-b:v", "1M")),
        ("a.mkv", ("-c:v", "libaom-av1", "-cpu-used", "8", "-b:v", "1M")),
        ("a.mov", ("-c:v", "exr", "-pix_fmt", "gbrpf32le")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1],
)
async def test_what_studios_send_is_read(tmp_path: Path, name: str, codec: tuple[str, ...]) -> None:
    made = await make(movie(tmp_path / name, *codec, frames=3, width=640, height=360))
    assert made.facts.frame_count == 3


@pytest.mark.parametrize("codec", ["pcm_s24le", "mp3", "ac3", "eac3", "flac", "alac", "libopus", "libvorbis", "wmav2"])
async def test_the_sound_that_studios_send_is_read(tmp_path: Path, codec: str) -> None:
    tone = ("-f", "lavfi", "-i", "sine=duration=0.2:sample_rate=48000")
    source = movie(tmp_path / "a.mkv", *X264, "-c:a", codec, "-ac", "2", frames=5, inputs=tone)
    assert (await make(source)).facts.frame_count == 5


async def test_more_streams_than_allowed_are_refused_by_number(tmp_path: Path) -> None:
    error = await refused(
        movie(tmp_path / "a.mkv", *X264, "-map", "0", "-map", "0", "-map", "0"), Limits(max_streams=2)
    )
    assert error.code is FailureCode.LIMITS_EXCEEDED
    assert error.message == "the source's number of streams is 3; the limit is 2"


async def test_an_encode_that_takes_too_long_is_a_timeout_that_grows_with_the_movie(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", *X264, frames=100)
    slow = Encoding(width=3840, height=2160, preset="medium")
    limits = Limits(timeout_floor_seconds=0.01, timeout_per_second=0.25)
    with pytest.raises(ChildError) as caught:
        await run([str(tools().ffmpeg), "-f", "lavfi", "-i", "testsrc2", "-f", "null", "-"], scratch=tmp_path,
                  limits=limits, duration=None)  # fmt: skip
    assert caught.value.timeout == 0.01
    scratch = tmp_path / "out"
    scratch.mkdir()
    with pytest.raises(MediaError) as late:
        await make(source, encoding=slow, limits=Limits(timeout_floor_seconds=0.5, timeout_per_second=0.25))
    assert late.value.code is FailureCode.TIMEOUT
    assert late.value.message == "the encode took longer than its limit of 1 s"


@needs_seccomp
async def test_ffmpeg_that_takes_too_much_processor_time_is_ended_by_name(tmp_path: Path) -> None:
    endless = ["-f", "lavfi", "-i", "testsrc2=size=1920x1080", "-f", "null", "-"]
    with pytest.raises(ChildError) as caught:
        await run([str(tools().ffmpeg), *endless], scratch=tmp_path, limits=Limits(max_cpu_seconds=1))
    error = blame(caught.value, "the encode")
    assert error.code is FailureCode.LIMITS_EXCEEDED
    assert error.message == "the encode used more processor time than the limit of 1 s"


async def test_an_encode_without_memory_names_the_limit(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", *X264)
    error = await refused(source, Limits(max_memory_bytes=300 * 1024**2))
    assert error.code is FailureCode.LIMITS_EXCEEDED
    assert "314572800 bytes" in error.message


@pytest.mark.parametrize("seconds", [61, 1800])
async def test_few_frames_with_far_timestamps_do_not_become_many(tmp_path: Path, seconds: int) -> None:
    far = ("-vf", f"setpts=N*{seconds}/TB", "-fps_mode", "passthrough", "-frames:v", "3")
    error = await refused(movie(tmp_path / "a.mkv", *X264, *far, frames=3))
    assert error.code is FailureCode.LIMITS_EXCEEDED
    assert error.message == f"one frame stands for {seconds} s; the limit is 60 s"


async def test_one_frame_that_lasts_an_hour_does_not_become_many(tmp_path: Path) -> None:
    source = movie(tmp_path / "a.mp4", *X264, "-video_track_timescale", "1", rate="1/3600", frames=1)
    error = await refused(source)
    assert error.code is FailureCode.LIMITS_EXCEEDED
    assert "one frame stands for 3600 s; the limit is 60 s" in error.message


def test_the_list_of_codecs_names_codecs_that_ffmpeg_knows() -> None:
    listing = subprocess.run([tools().ffmpeg, "-hide_banner", "-codecs"], capture_output=True, check=True, text=True)
    known = set(re.findall(r"^ .{6} (\S+)", listing.stdout, re.MULTILINE))
    assert CODECS - known <= {"v308", "v408", "v410"}  # kinds of rawvideo since ffmpeg 9
    assert "magicyuv" in known
    assert "magicyuv" not in CODECS
