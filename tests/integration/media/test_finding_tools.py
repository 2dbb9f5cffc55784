"""ffmpeg and ffprobe are found, and those that cannot do the work are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from rushes_normalizer.media.tools import ToolsError, find_tools

from tests.movies import tools


def program(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh", *lines]))
    path.chmod(0o755)
    return str(path)


def test_the_tools_found_can_decode_what_studios_send() -> None:
    assert {"h264", "hevc", "prores", "dnxhd", "png", "mjpeg", "qtrle", "ffv1", "exr"} <= tools().decoders


def test_a_setting_wins() -> None:
    assert find_tools(str(tools().ffmpeg), str(tools().ffprobe)).ffmpeg == tools().ffmpeg


def test_a_setting_that_is_not_there_is_refused() -> None:
    with pytest.raises(ToolsError, match="/nowhere/ffmpeg, is not there"):
        find_tools("/nowhere/ffmpeg")


def test_an_old_ffmpeg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolsError, match=r"ffmpeg 5\.1\.9; 6 or newer"):
        find_tools(program(tmp_path / "ffmpeg", "echo ffmpeg version 5.1.9 Copyright"))


def test_an_ffmpeg_without_x264_is_refused(tmp_path: Path) -> None:
    crippled = program(tmp_path / "ffmpeg", f'{tools().ffmpeg} "$@" | grep -v -e libx264 -e " bwdif "')
    with pytest.raises(ToolsError, match="encoder libx264, filter bwdif"):
        find_tools(crippled)
