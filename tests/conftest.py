"""Real servers for all tests: started once, shared by worlds that do not see each other."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rushes_embedded.apache_kafka import ApacheKafka
from rushes_embedded.broker import Broker
from rushes_embedded.kafka_jars import find_apache_kafka
from rushes_embedded.stack import Stack
from rushes_normalizer.media.sandbox.mechanisms import mechanisms
from rushes_normalizer.media.tools import find_tools

from tests import promtool
from tests.browsers import Browser, find_browsers
from tests.certificates import openssl_version
from tests.faults.toxiproxy import find_toxiproxy
from tests.pgbouncer import pgbouncer_version
from tests.swift_server import Swift, swift_version
from tests.vm.walk import find_walk
from tests.world import World

BROKERS = ["embedded"] if find_apache_kafka() else ["embedded", "apache-kafka"]
# A file is one worker's: the longest begin first, so that none is left over at the end.
LONGEST_FILES = (
    "vm/test_walk.py",
    "faults/test_conductor.py",
    "end_to_end/test_whole_path.py",
    "end_to_end/test_embedded_stack.py",
    "end_to_end/test_upgrade.py",
    "end_to_end/test_command_lines.py",
)
NO_SWIFT = "without OpenStack Swift (Debian's package python3-swift): its tests are left out"
BROWSERS = {browser.name: browser for browser in find_browsers()}


def pytest_report_header() -> str:
    """Which broker, ffmpeg, browsers and pooler this run uses, and what of the sandbox its kernel enforces."""
    missing = find_apache_kafka()
    kafka = f"without Apache Kafka ({missing}): its tests are left out" if missing else "and Apache Kafka"
    if no_proxy := missing or find_toxiproxy():
        kafka += f", without faults ({no_proxy})"
    tools = find_tools()
    sandbox = mechanisms()
    confined = f"Landlock {sandbox.landlock_abi or 'lacking'}, seccomp {'there' if sandbox.seccomp else 'lacking'}"
    browsers = [
        BROWSERS[name].version if name in BROWSERS else f"without {name}: its tests are left out"
        for name in ("chromium", "firefox")
    ]
    unwalked = find_walk()
    vm = f"docs/vm.md is not walked ({unwalked})" if unwalked else "docs/vm.md is walked"
    return (
        f"rushes: broker embedded (librdkafka) {kafka}; ffmpeg {tools.ffmpeg_version}, "
        f"ffprobe {tools.ffprobe_version}; sandbox: {confined}; browsers: {', '.join(browsers)}; {pgbouncer_version()}"
        f"; {promtool.LACKING + ': its tests are left out' if promtool.LACKING else 'Prometheus there'}; {vm}"
        f"; {openssl_version()}; {f'OpenStack Swift {swift_version()}' if swift_version() else NO_SWIFT}"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `broker` runs against each, unless its mark says otherwise; one for `browser` in each."""
    if "broker" in metafunc.fixturenames:
        chosen = BROKERS
        if metafunc.definition.get_closest_marker("apache_kafka"):
            chosen = [kind for kind in BROKERS if kind != "embedded"]
        if metafunc.definition.get_closest_marker("any_broker"):
            chosen = BROKERS[:1]
        metafunc.parametrize("broker", chosen, indirect=True)
    if "browser" in metafunc.fixturenames:
        metafunc.parametrize("browser", BROWSERS, indirect=True, scope="session")


def pytest_configure(config: pytest.Config) -> None:
    # A shell lets what it starts in the background ignore Ctrl-C, and all that this starts would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "apache_kafka: needs more than the embedded broker can do")
    config.addinivalue_line("markers", "any_broker: the broker plays no part in it; the embedded one is quicker")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, the others in their order."""
    first = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: first.get(item.path, len(first)))


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """PostgreSQL, an S3 server and the embedded broker."""
    folder = Path(tempfile.mkdtemp(prefix="rushes-test-"))
    try:
        with Stack(folder) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def apache_kafka(stack: Stack) -> Iterator[Broker]:
    """Apache Kafka, for the tests that use it."""
    kafka = ApacheKafka(stack.folder / "apache-kafka", log=stack.logs / "apache-kafka.log")
    kafka.start()
    yield kafka
    kafka.discard()


@pytest.fixture(scope="session")
def swift() -> Iterator[Swift]:
    """OpenStack Swift with its S3 API, for the tests that use it."""
    if swift_version() is None:
        pytest.skip(NO_SWIFT)
    server = Swift()
    server.start()
    yield server
    server.discard()


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Broker:
    """The broker that this test runs against."""
    kind: str = request.param
    started: Any = request.getfixturevalue("apache_kafka" if kind == "apache-kafka" else "stack")
    chosen: Broker = started.broker if isinstance(started, Stack) else started
    return chosen


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> Browser:
    """The browser that this test looks with."""
    return BROWSERS[request.param]


@pytest.fixture
def world(stack: Stack, broker: Broker, tmp_path: Path) -> World:
    """A database, topics and buckets of this test's own."""
    return World.make(stack, broker, tmp_path)
