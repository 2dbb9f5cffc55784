"""Apache Kafka's jars, fetched once with Maven into the user's cache."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from rushes_embedded.cache import cache_folder, made_once
from rushes_embedded.leash import StartError

KAFKA_VERSION = "4.3.1"
_OLDEST_JAVA = 17

# slf4j-simple: without a logging backend Kafka says nothing, not even why it cannot start.
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>rushes</groupId>
  <artifactId>embedded-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def java() -> Path | None:
    """`$JAVA_HOME`'s java, or else the one on the PATH."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    return None if found is None else Path(found)


@cache
def find_apache_kafka() -> str | None:
    """None when Apache Kafka can be run here, or else what is missing, in words."""
    program = java()
    if program is None:
        return f"no java on the PATH (Java {_OLDEST_JAVA} or newer is needed)"
    ran = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', ran.stderr)
    if ran.returncode != 0 or version is None:
        return f"{program} does not run: {ran.stderr.strip()}"
    if int(version[1]) < _OLDEST_JAVA:
        return f"{program} is Java {version[1]}; {_OLDEST_JAVA} or newer is needed"
    if not jars_folder().exists() and shutil.which("mvn") is None:
        return "no mvn on the PATH, and Kafka's jars were not fetched before"
    return None


def jars_folder() -> Path:
    return cache_folder() / f"kafka-{KAFKA_VERSION}"


def fetch_jars(*, timeout: float = 600.0) -> Path:
    """The folder of Kafka's jars, fetched (44 MB) when it is not there; safe when several ask at once.

    Raises `StartError` when Maven cannot fetch them.
    """

    def fetch(jars: Path) -> None:
        (jars.parent / "pom.xml").write_text(_POM)
        _run_maven(jars.parent, jars, timeout)

    return made_once(jars_folder(), fetch)


def _run_maven(folder: Path, jars: Path, timeout: float) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise StartError("Kafka's jars cannot be fetched: no mvn on the PATH")
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    command = [maven, "--batch-mode", "--quiet", "--strict-checksums", goal, f"-DoutputDirectory={jars}"]
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise StartError(f"Maven did not fetch Kafka's jars within {timeout:.0f} s") from error
    if ran.returncode != 0:
        raise StartError(f"Maven cannot fetch Kafka's jars (code {ran.returncode}):\n{ran.stdout}{ran.stderr}")
