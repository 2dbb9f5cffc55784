"""Servers that want to know who comes, by TLS: once for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rushes_embedded.kafka_jars import find_apache_kafka
from rushes_embedded.objects import Objects, ServerTls
from rushes_embedded.stack import Stack

from tests.certificates import Authority
from tests.movies import make_clip
from tests.secured import Secured, SecuredKafka


@pytest.fixture(scope="session")
def authority(stack: Stack) -> Authority:
    """The authority of all certificates."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    return Authority.make(stack.folder / "authority")


@pytest.fixture(scope="session")
def server_tls(authority: Authority) -> ServerTls:
    """What the servers show."""
    return authority.issue("server")


@pytest.fixture(scope="session")
def secured_kafka(stack: Stack, server_tls: ServerTls) -> Iterator[SecuredKafka]:
    """Apache Kafka with users and ACLs."""
    if missing := find_apache_kafka():
        pytest.skip(missing)
    kafka = SecuredKafka(stack.folder / "secured-kafka", log=stack.logs / "secured-kafka.log", tls=server_tls)
    kafka.start()
    yield kafka
    kafka.discard()


@pytest.fixture(scope="session")
def secured_objects(stack: Stack, server_tls: ServerTls) -> Iterator[Objects]:
    """An S3 server that speaks HTTPS and knows policies."""
    objects = Objects(stack.folder / "secured-objects", log=stack.logs / "secured-objects.log", tls=server_tls)
    objects.start()
    yield objects
    objects.discard()


@pytest.fixture
def secured(
    stack: Stack,
    secured_kafka: SecuredKafka,
    secured_objects: Objects,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Secured]:
    """A world of this test's own on them, with a user for each process."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.certificate))
    secured = Secured.make(stack, secured_kafka, secured_objects, tmp_path)
    yield secured
    secured.world.discard(stack)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a small movie."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    make_clip(path, "320x180")
    return path
