"""A schema registry in Confluent's style: Apicurio Registry in memory, fetched once with Maven into the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from rushes_embedded.cache import cache_folder, made_once
from rushes_embedded.kafka_jars import find_apache_kafka, java
from rushes_embedded.leash import Leash, StartError
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.readiness import wait_until_ready

_VERSION: Final = "3.0.9"
# This old one needs no descriptor of the parent, which not every mirror has.
_GET: Final = "org.apache.maven.plugins:maven-dependency-plugin:2.8:get"
_PROGRAMS: Final = ("curl", "jq")  # those of docs/publishers.md


def lacking() -> str | None:
    """None when a registry can be run and asked here, or else what is missing, in words."""
    absent = [f"no {name} on the PATH" for name in _PROGRAMS if not shutil.which(name)]
    return absent[0] if absent else find_apache_kafka()


@contextmanager
def schema_registry(log: Path) -> Iterator[str]:
    """The address of an empty registry, for as long as the block runs.

    Raises:
        StartError: it cannot be fetched, or does not start.
    """
    (jar,) = made_once(cache_folder() / f"apicurio-registry-{_VERSION}", _fetch).glob("*-runner.jar")
    (port,) = free_ports(1)
    address = f"http://{LOOPBACK}:{port}/apis/ccompat/v7"
    options = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    environment = {**os.environ, "QUARKUS_HTTP_HOST": LOOPBACK, "QUARKUS_HTTP_PORT": str(port)}
    leash = Leash([java() or "java", *options, "-jar", jar], log=log, env=environment)
    leash.start()
    wait_until_ready("the schema registry", leash, lambda: _missing(address), timeout=180)
    try:
        yield address
    finally:
        leash.stop()


def _missing(address: str) -> str | None:
    try:
        with urlopen(f"{address}/subjects", timeout=10):  # an address of ours
            return None
    except (URLError, OSError) as error:
        return str(error)


def _fetch(place: Path) -> None:
    """109 MB. With a repository of its own: where the user's is, Maven does not tell."""
    repository = place.parent / "repository"
    artifact = f"-Dartifact=io.apicurio:apicurio-registry-app:{_VERSION}:tar.gz:all"
    command = ["mvn", "--batch-mode", "--quiet", "--strict-checksums", _GET, artifact, "-Dtransitive=false"]
    ran = subprocess.run([*command, f"-Dmaven.repo.local={repository}"], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise StartError(f"Maven cannot fetch the schema registry:\n{ran.stdout}{ran.stderr}")
    (archive,) = repository.glob("io/apicurio/apicurio-registry-app/*/*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
