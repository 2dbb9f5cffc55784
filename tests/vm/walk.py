"""Walks docs/vm.md: its shell blocks, in order, on a machine."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from rushes_embedded.kafka_jars import KAFKA_VERSION, fetch_jars, find_apache_kafka

from tests.vm.machine import Machine, find_machine

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "vm.md"
CHECKOUT: Final = "/usr/local/src/rushes"
_BLOCK: Final = re.compile(
    r"^## (?P<title>[^\n]+)$|^```sh ?(?P<mark>\w*)\n(?P<script>.*?)^```$", re.MULTILINE | re.DOTALL
)
_VERSION: Final = re.compile(r"^version=\S+$", re.MULTILINE)
# The environment that the tests run in holds the same files, by the same hashes; it stands in for minutes of downloads.
_DEPENDENCIES: Final = "/usr/local/lib/rushes-dependencies"
_STAND_IN: Final = f'echo {_DEPENDENCIES} >"$(echo /opt/rushes/"$version"/lib/python3*/site-packages)/dependencies.pth"'
# As apt leaves it: a server that runs, with nothing in it.
_FRESH_POSTGRES: Final = """
    pg_lsclusters --no-header | while read version name rest; do pg_dropcluster "$version" "$name"; done
    pg_createcluster "$(ls /usr/lib/postgresql | tail -n 1)" main
    systemctl start postgresql
"""


@dataclass(frozen=True)
class Block:
    """Commands of the page. `mark` is `dependencies` for those that need a package index."""

    section: str
    script: str
    mark: str


def blocks(page: str) -> list[Block]:
    """The shell blocks of a page, with their sections."""
    found: list[Block] = []
    section = ""
    for match in _BLOCK.finditer(page):
        if match["title"]:
            section = match["title"]
        else:
            found.append(Block(section, match["script"], match["mark"]))
    return found


@cache
def find_walk() -> str | None:
    """None if the page can be walked here, or else what is missing, in words."""
    if missing := find_machine() or find_apache_kafka():
        return missing
    asked = "import sys; print(sys.version_info[:2])"
    said = subprocess.run(["/usr/bin/python3", "-c", asked], capture_output=True, text=True, check=False).stdout.strip()
    if said != str(sys.version_info[:2]):
        return f"Debian's Python is {said or 'not there'}, and the environment's {sys.version_info[:2]}"
    return None


class Walk:
    """One way through the page, from its beginning; each command must succeed."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._blocks = blocks(PAGE.read_text(encoding="utf-8"))
        self._at = 0
        self._version = ""

    def to(self, section: str) -> None:
        """Walk to the end of a section, unless that is behind us."""
        last = max(at for at, block in enumerate(self._blocks) if block.section == section)
        while self._at <= last:
            self._take(self._blocks[self._at])
            self._at += 1

    def next_block(self) -> None:
        """Walk one block."""
        self._take(self._blocks[self._at])
        self._at += 1

    def again(self, section: str) -> None:
        """Walk a section once more, with the version of now, because the page says so."""
        for block in self._blocks:
            if block.section == section:
                self._take(Block(section, _VERSION.sub("", block.script), block.mark))

    def _take(self, block: Block) -> None:
        if named := _VERSION.search(block.script):
            self._version = named[0]
        script = _STAND_IN if block.mark == "dependencies" else block.script
        self.machine.do(f"{self._version}\n{script}", folder=CHECKOUT)


@contextmanager
def bare_machine(folder: Path) -> Iterator[Machine]:
    """A machine as the page wants it: the packages are there and run, the checkout and Kafka's archive lie ready."""
    with Machine(folder, source=Path(sysconfig.get_path("purelib")), target=_DEPENDENCIES) as machine:
        machine.do(_FRESH_POSTGRES)
        machine.do(f"mkdir -p {CHECKOUT}")
        machine.put("/usr/local/src/checkout.tar", _checkout())
        machine.put(f"/usr/local/src/kafka_2.13-{KAFKA_VERSION}.tgz", _kafka_archive())
        machine.do("tar --extract --file ../checkout.tar", folder=CHECKOUT)
        yield machine


def _checkout() -> bytes:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in filter(None, names):
            if (ROOT / name).exists():
                archive.add(ROOT / name, name)
    return buffer.getvalue()


def _kafka_archive() -> bytes:
    """The part of Kafka's archive that its unit uses; not compressed, which tar sees for itself."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for jar in sorted(fetch_jars().glob("*.jar")):
            archive.add(jar, f"kafka_2.13-{KAFKA_VERSION}/libs/{jar.name}")
    return buffer.getvalue()
