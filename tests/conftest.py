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
from tests.movies import make_clip
from tests.pace import pace
from tests.pgbouncer import pgbouncer_version
from tests.swift_server import Swift, swift_version
from tests.vm.walk import find_walk
from tests.world import World

BROKERS = ["embedded"] if find_apache_kafka() else ["embedded", "apache-kafka"]
NO_SWIFT = "without OpenStack Swift (Debian's package python3-swift): its tests are left out"
BROWSERS = {browser.name: browser for browser in find_browsers()}
CORE = "not extended"
LEFT_OUT = (
    "left out: Apache Kafka, faults, processes that are killed or paused, sites in trouble, upgrades, security, "
    "browsers, PgBouncer, OpenStack Swift, Prometheus, docs/vm.md; `make test-all` has them"
)


def pytest_report_header(config: pytest.Config) -> str:
    """Return the lines that name the tools of this run, what it leaves out, and the pace of the machine."""
    tools = find_tools()
    sandbox = mechanisms()
    confined = f"Landlock {sandbox.landlock_abi or 'lacking'}, seccomp {'there' if sandbox.seccomp else 'lacking'}"
    core = config.getoption("markexpr") == CORE
    return (
        f"rushes: broker embedded (librdkafka); ffmpeg {tools.ffmpeg_version}, ffprobe {tools.ffprobe_version}; "
        f"sandbox: {confined}; work takes {pace():.1f} times as long as on a quiet machine\n"
        f"rushes: {LEFT_OUT if core else _extended_with()}"
    )


def _extended_with() -> str:
    """Return the servers and programs of the extended tests, and which of them are not installed."""
    missing = find_apache_kafka()
    kafka = f"without Apache Kafka ({missing}): its tests are left out" if missing else "Apache Kafka"
    if no_proxy := missing or find_toxiproxy():
        kafka += f", without faults ({no_proxy})"
    browsers = [
        BROWSERS[name].version if name in BROWSERS else f"without {name}: its tests are left out"
        for name in ("chromium", "firefox")
    ]
    unwalked = find_walk()
    vm = f"docs/vm.md is not walked ({unwalked})" if unwalked else "docs/vm.md is walked"
    return (
        f"{kafka}; browsers: {', '.join(browsers)}; {pgbouncer_version()}"
        f"; {promtool.LACKING + ': its tests are left out' if promtool.LACKING else 'Prometheus there'}; {vm}"
        f"; {openssl_version()}; {f'OpenStack Swift {swift_version()}' if swift_version() else NO_SWIFT}"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `broker` against the brokers of its mark, and one that asks for `browser` in each."""
    if "broker" in metafunc.fixturenames:
        each = metafunc.definition.get_closest_marker("each_broker")
        if each or metafunc.definition.get_closest_marker("apache_kafka"):
            chosen = BROKERS if each else BROKERS[1:]
            metafunc.parametrize("broker", chosen, indirect=True)
    if "browser" in metafunc.fixturenames:
        metafunc.parametrize("browser", BROWSERS, indirect=True, scope="session")


def pytest_configure(config: pytest.Config) -> None:
    # A shell lets what it starts in the background ignore Ctrl-C, and all that this starts would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for marker in (
        "apache_kafka: runs against Apache Kafka instead of the embedded broker",
        "each_broker: runs against the embedded broker and against Apache Kafka",
        "extended: takes long or needs more than Python, so `make test` leaves it out",
        "alone: loads all cores or starts a JVM, so it runs beside no other test",
    ):
        config.addinivalue_line("markers", marker)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by the servers that it asks for; one that runs alone is not in the core either."""
    assert isinstance(item, pytest.Function)
    asked_for = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if "apache-kafka" in asked_for:
        item.add_marker("alone")
    if {"browser", "swift"} & set(item.fixturenames) or "swift" in asked_for or item.get_closest_marker("alone"):
        item.add_marker("extended")


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
    """The broker that this test runs against: the embedded one, unless its mark asks for another."""
    kind: str = getattr(request, "param", "embedded")
    started: Any = request.getfixturevalue("apache_kafka" if kind == "apache-kafka" else "stack")
    chosen: Broker = started.broker if isinstance(started, Stack) else started
    return chosen


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of a small movie."""
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", "96x54", rate=10, seconds=0.5)


@pytest.fixture(scope="session")
def slow_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a movie that takes a while where it is enlarged."""
    return make_clip(tmp_path_factory.mktemp("clips") / "slow.mp4", "320x180", seconds=2)


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> Browser:
    """The browser that this test looks with."""
    return BROWSERS[request.param]


@pytest.fixture
def world(stack: Stack, broker: Broker, tmp_path: Path) -> Iterator[World]:
    """A database, topics and buckets of this test's own."""
    world = World.make(stack, broker, tmp_path)
    yield world
    world.discard(stack)


@pytest.fixture
def bare_world(stack: Stack, broker: Broker, tmp_path: Path) -> Iterator[World]:
    """A world whose database is empty, for tests that migrate it."""
    world = World.make(stack, broker, tmp_path, migrated=False)
    yield world
    world.discard(stack)
