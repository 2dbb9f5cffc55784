"""What a new user does: the demo, up and down."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rushes_embedded.studio import command_of

pytestmark = pytest.mark.alone


def test_the_demo_ends_every_preview_as_it_must(tmp_path: Path) -> None:
    demo = subprocess.run(
        [*command_of("rushes-embedded"), "demo", "--folder", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout[-3000:] + demo.stderr[-2000:]
    assert "every preview ended as it must" in demo.stdout
    assert list((tmp_path / "demo" / "second-site" / "movies" / "lowdef").glob("*/*/*"))
    assert "rushes_events_total" in (tmp_path / "demo" / "rushes-normalizer.metrics.txt").read_text()


@contextmanager
def _up(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`up` in a folder, and what it said once it ran; ended at the end."""
    command = [*command_of("rushes-embedded"), "up", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Ctrl-C"):
                break
        assert process.poll() is None, said
        yield process, said
        process.send_signal(signal.SIGINT)
        process.wait(90)


def test_up_prints_every_address_and_leaves_no_process_and_the_next_start_works(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with _up(one) as (first, said), _up(two) as (second, other):
        for name in ("PostgreSQL", "Kafka", "S3", "rushes-normalizer", "rushes-syncer", "logs"):
            assert name in said
        ports = [set(re.findall(r"127\.0\.0\.1:(\d+)", text)) for text in (said, other)]
        assert ports[0]
        assert not ports[0] & ports[1]
        subprocess.run([*command_of("rushes-embedded"), "down", "--folder", str(one)], check=True, timeout=90)
        assert first.wait(90) == 0
        assert second.poll() is None
        assert len(_processes_of(two)) >= 4
        second.kill()
        second.wait()
        deadline = time.monotonic() + 60
        while _processes_of(two):
            assert time.monotonic() < deadline, _processes_of(two)
            time.sleep(0.1)
    with _up(two) as (again, _):
        pass
    assert again.returncode == 0


def _processes_of(folder: Path) -> list[str]:
    """Command lines of processes whose arguments or settings name the folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            about = (each / "cmdline").read_bytes() + (each / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in about and int(each.name) != os.getpid():
            found.append(about[:200].decode(errors="replace"))
    return found
