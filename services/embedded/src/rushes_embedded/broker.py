"""What every Kafka broker of ours offers, whichever it is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

DEFAULT_PARTITIONS = 4


@dataclass(frozen=True)
class Topic:
    """A topic to be made. `config` are Kafka's topic settings, such as `{"cleanup.policy": "compact"}`."""

    name: str
    partitions: int = DEFAULT_PARTITIONS
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Support:
    """What a broker can do; a test that needs what it cannot is to be skipped."""

    several_members: bool
    """A consumer group may have more than one member."""
    fences_transactions: bool
    """A new producer with the same transactional id shuts the old one out."""
    hides_aborted: bool
    """`read_committed` leaves out what aborted transactions wrote."""
    admin: bool
    """Topics can be created, described and deleted through an admin client, with settings of their own."""
    keeps_data: bool
    """Records, topics and committed offsets outlive a restart."""
    check_crcs: bool
    """For `AIOKafkaConsumer(check_crcs=...)`: whether all it serves has a right checksum."""


class Broker(Protocol):
    """A Kafka broker on loopback."""

    @property
    def kind(self) -> Literal["embedded", "apache-kafka"]: ...

    @property
    def supports(self) -> Support: ...

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`. Raises `StartError` before the first start."""

    @property
    def pid(self) -> int:
        """The broker's process id. Raises `StartError` before the first start."""

    def start(self, *, timeout: float = 180.0) -> None:
        """Start it, with the topics that it was made with; returns when it serves.

        Raises `StartError` when it does not within `timeout` seconds.
        """

    def stop(self, timeout: float | None = None) -> None:
        """Stop it. `timeout`: seconds after which it is killed."""

    def discard(self) -> None:
        """Stop it and remove its data, also those that an earlier owner left."""

    def ensure_topics(self, topics: Iterable[Topic]) -> None:
        """Make those topics that are not there, empty. Raises `StartError` when the broker refuses."""
