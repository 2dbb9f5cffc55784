"""The real Apache Kafka, one node in KRaft mode, for what the embedded broker cannot do."""

import base64
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from rushes_embedded.broker import Support, Topic
from rushes_embedded.kafka_jars import fetch_jars, java
from rushes_embedded.leash import Leash, StartError, log_tail, wait_until_unused
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.readiness import wait_until_ready


@dataclass(frozen=True)
class Listener:
    """A port that a broker listens on; `advertised`: another one, of a proxy, that its clients are told to come to."""

    port: int
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    advertised: int | None = None


class ApacheKafka:
    """A Kafka broker whose data live in `folder`: it can be stopped and started again, at the same address.

    Topics are made explicitly (`auto.create.topics.enable=false`). Needs what `find_apache_kafka` looks for.
    """

    kind: Literal["apache-kafka"] = "apache-kafka"
    supports = Support(
        several_members=True,
        fences_transactions=True,
        hides_aborted=True,
        admin=True,
        keeps_data=True,
        check_crcs=True,
    )

    def __init__(
        self,
        folder: Path,
        *,
        log: Path,
        topics: Sequence[Topic] = (),
        settings: Mapping[str, str] | None = None,
        listeners: Mapping[str, Listener] | None = None,
    ) -> None:
        """`settings` go over ours in `server.properties`; `listeners`, by name, are there beside ours."""
        self._folder = folder.resolve()
        self._log = log
        self._topics = topics
        self._settings = settings or {}
        self._listeners = listeners or {}
        self._port, self._controller_port = free_ports(2)
        self._leash: Leash | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int:
        if self._leash is None:
            raise StartError("Kafka was not started")
        return self._leash.pid

    def start(self, *, timeout: float = 180.0) -> None:
        jars = fetch_jars()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._format(jars)
        properties = self._write_properties("server.properties", self._data)
        self._leash = self._java(jars, 512, "kafka.Kafka", properties)
        self._leash.start()
        client = self.admin_client()
        wait_until_ready("Kafka", self._leash, lambda: _missing(client), timeout=timeout)
        try:
            self.ensure_topics(self._topics)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float | None = None) -> None:
        if self._leash is not None:
            self._leash.stop(timeout)

    def discard(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def ensure_topics(self, topics: Iterable[Topic]) -> None:
        wanted = [NewTopic(topic.name, topic.partitions, 1, config=dict(topic.config)) for topic in topics]
        if not wanted:
            return
        client = self.admin_client()  # answers come only as long as it lives
        for name, made in client.create_topics(wanted, operation_timeout=60).items():
            try:
                made.result(timeout=90)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise StartError(f"Kafka does not make {name}: {error}") from error

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def admin_client(self) -> AdminClient:
        """A client that may do everything, for as long as it lives."""
        # Quick to come back, silent about refusals: a broker that is about to serve refuses first.
        return AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 100}
        )

    def _format(self, jars: Path) -> None:
        """Make the data folder if it is not there, whole or not at all."""
        if self._data.exists():
            return
        wait_until_unused(self._log, timeout=15)
        partial = self._folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        properties = self._write_properties("format.properties", partial)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # `=`: an id may begin with a dash.
        formatting = self._java(
            jars, 64, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", f"--config={properties}"
        )
        formatting.start()
        code = formatting.wait()
        if code != 0:
            raise StartError(f"Kafka's data folder cannot be made (code {code}):\n{log_tail(self._log)}")
        partial.rename(self._data)

    def _write_properties(self, name: str, data: Path) -> Path:
        ours = {"PLAINTEXT": Listener(self._port), "CONTROLLER": Listener(self._controller_port)}
        all_of_them = {**ours, **self._listeners}
        listeners = ",".join(f"{name}://{LOOPBACK}:{each.port}" for name, each in all_of_them.items())
        advertised = ",".join(
            f"{name}://{LOOPBACK}:{each.advertised or each.port}"
            for name, each in all_of_them.items()
            if name != "CONTROLLER"
        )
        protocols = ",".join(f"{name}:{each.protocol}" for name, each in all_of_them.items())
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": listeners,
            "advertised.listeners": advertised,
            "listener.security.protocol.map": protocols,
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(data),
            "auto.create.topics.enable": "false",
            "broker.session.timeout.ms": "4000",  # for a broker that comes back after a SIGKILL
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            **self._settings,
        }
        path = self._folder / name
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path

    def _java(self, jars: Path, megabytes: int, *arguments: str | Path) -> Leash:
        program = java()
        if program is None:
            raise StartError("Kafka needs java, which is not on the PATH")
        options = (
            f"-Xmx{megabytes}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
        )
        return Leash([program, *options, "-cp", f"{jars}/*", *arguments], log=self._log, cwd=self._folder)


def _missing(client: AdminClient) -> str | None:
    try:
        return None if client.list_topics(timeout=1).brokers else "it knows no broker yet"
    except KafkaException as error:
        return str(error)
