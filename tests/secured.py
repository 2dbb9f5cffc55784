"""A studio in which each service has a user of its own everywhere, and may do there what deploy/grants says."""

from __future__ import annotations

import argparse
import json
import secrets
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import Final

from aiokafka.errors import KafkaConnectionError
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from rushes_embedded.apache_kafka import ApacheKafka, Listener
from rushes_embedded.objects import Identity, Objects, ServerTls
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.stack import Stack
from rushes_runtime.kafka import make_producer
from rushes_runtime.settings import KafkaSettings
from sqlalchemy import URL, make_url

from tests.databases import migrate_all
from tests.world import World

GRANTS: Final = Path(__file__).parents[1] / "deploy" / "grants"

# What each process or person is, in the words of deploy/grants: role in PostgreSQL, principal in Kafka, policy in S3.
_WHO: Final[Mapping[str, tuple[str | None, str | None, str | None]]] = {
    "migration": ("rushes_migration", "rushes-migration", "migration"),
    "control": ("rushes_control", "rushes-normalizer", None),
    "worker": ("rushes_worker", None, "worker"),
    "syncer": ("rushes_syncer", "rushes-syncer", "syncer-main"),
    "site": (None, None, "syncer-site"),
    "kitsu": ("rushes_kitsu", "rushes-kitsu", None),
    "kitsu-follow": ("rushes_kitsu", None, None),
    "kitsu-builder": ("rushes_kitsu", None, "kitsu-builder"),
    "publisher": (None, "rushes-publisher", "publisher"),
    "operator": ("rushes_reader", "rushes-operator", None),
    "reader": ("rushes_reader", "rushes-reader", None),
    "api": ("rushes_reader", "rushes-api", None),
    "scaler": ("rushes_scaler", None, None),
}


class SecuredKafka(ApacheKafka):
    """Kafka with a door for users with passwords, one for client certificates, and the test's own without either."""

    def __init__(self, folder: Path, *, log: Path, tls: ServerTls) -> None:
        self.authority = tls.authority
        self.sasl_port, self.mutual_port = free_ports(2)
        pair = folder.parent / f"{folder.name}.pem"
        pair.write_text(tls.key.read_text() + tls.certificate.read_text())
        listeners = {"SASL": Listener(self.sasl_port, "SASL_SSL"), "MUTUAL": Listener(self.mutual_port, "SSL")}
        super().__init__(folder, log=log, settings=_doors(pair, tls.authority), listeners=listeners)

    def set_password(self, user: str, password: str) -> None:
        """Make a user, or give one another password; it counts from now on."""
        mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(user, mechanism, password.encode())
        client = self.admin_client()
        for done in client.alter_user_scram_credentials([change]).values():
            done.result(timeout=90)

    def allow(self, **names: str) -> None:
        """Grant what the file of ACLs says, with `TOPIC_PREFIX`, `INSTANCE` and `SITE` put in."""
        client = self.admin_client()
        for done in client.create_acls(list(_acls(names))).values():
            done.result(timeout=90)


def _doors(pair: Path, authority: Path) -> dict[str, str]:
    doors = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
    }
    for name in ("sasl", "mutual"):
        doors |= {
            f"listener.name.{name}.ssl.keystore.type": "PEM",
            f"listener.name.{name}.ssl.keystore.location": str(pair),
            f"listener.name.{name}.ssl.truststore.type": "PEM",
            f"listener.name.{name}.ssl.truststore.location": str(authority),
        }
    return doors


def _acls(names: Mapping[str, str]) -> Iterator[AclBinding]:
    """What `kafka-acls.sh --add` would make of each line."""
    options = argparse.ArgumentParser()
    options.add_argument("--allow-principal", required=True)
    options.add_argument("--operation", action="append", required=True)
    options.add_argument("--resource-pattern-type", default="literal")
    kinds = ("topic", "group", "transactional-id")
    for kind in kinds:
        options.add_argument(f"--{kind}", action="append", default=[])
    for line in (GRANTS / "kafka-acls.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        given = vars(options.parse_args(shlex.split(Template(line).substitute(names))))
        for resource in (kind.replace("-", "_") for kind in kinds):
            for name in given[resource]:
                for operation in given["operation"]:
                    yield AclBinding(
                        ResourceType[resource.upper()],
                        name,
                        ResourcePatternType[given["resource_pattern_type"].upper()],
                        given["allow_principal"],
                        "*",
                        AclOperation[operation.upper()],
                        AclPermissionType.ALLOW,
                    )


@dataclass
class Secured:
    """A world whose processes hold as little as they can; their secrets stand in files of their own."""

    world: World
    stack: Stack
    kafka: SecuredKafka
    objects: Objects
    identities: dict[str, Identity] = field(default_factory=dict)
    passwords: set[str] = field(default_factory=set)

    @classmethod
    def make(cls, stack: Stack, kafka: SecuredKafka, objects: Objects, folder: Path) -> Secured:
        """Users and grants for everybody, before anything is migrated."""
        world = World.make(stack, kafka, folder, migrated=False).with_settings(
            STORE__ENDPOINT_URL=objects.endpoint_url,
            STORE__ACCESS_KEY_ID=objects.access_key_id,
            STORE__SECRET_ACCESS_KEY=objects.secret_access_key,
            SITES__LYON__KIND="s3",
            SITES__LYON__ENDPOINT_URL=objects.endpoint_url,
            SITES__LYON__ACCESS_KEY_ID=objects.access_key_id,
            SITES__LYON__SECRET_ACCESS_KEY=objects.secret_access_key,
        )
        prefix = world.environment["STORE__BUCKET_PREFIX"]
        world.environment["SITES__LYON__BUCKET_PREFIX"] = f"lyon-{prefix}"
        secured = cls(world, stack, kafka, objects)
        secured.grant_in_database()
        kafka.allow(TOPIC_PREFIX=world.prefix, INSTANCE=world.environment["INSTANCE"], SITE="lyon")
        for who, (role, principal, policy) in _WHO.items():
            secured.folder_of(who).mkdir(parents=True)
            if role:
                user = secured.user(who)
                owner = f"; ALTER ROLE {user} SET role TO {role}" if who == "migration" else ""
                secured.sql(f"CREATE ROLE {user} LOGIN IN ROLE {role}{owner}")
                secured.tell_database_url(who, secured.set_database_password(who))
            if principal:
                secured.tell_kafka_password(who, secured.set_kafka_password(who))
            if policy:
                text = (GRANTS / "s3" / f"{policy}.json").read_text()
                if who == "migration":  # of the main store, and of the site
                    parts = [Template(text).substitute(BUCKET_PREFIX=each) for each in (prefix, f"lyon-{prefix}")]
                    statements = [each for part in parts for each in json.loads(part)["Statement"]]
                    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
                text = Template(text).substitute(BUCKET_PREFIX=f"lyon-{prefix}" if who == "site" else prefix)
                secured.identities[who] = Identity(f"{prefix}{who}", policy=text)
                secured.tell_access_key(who)
        objects.let_in(*secured.identities.values())
        return secured

    def folder_of(self, who: str) -> Path:
        return self.world.folder / "secrets" / who

    def user(self, who: str) -> str:
        """The name of a user in PostgreSQL."""
        return f"{self.world.environment['INSTANCE']}_{who}".replace("-", "_")

    def principal(self, who: str) -> str:
        """The name of a user in Kafka."""
        principal = _WHO[who][1]
        assert principal
        return principal

    def settings(self, who: str) -> dict[str, str]:
        """The settings by which a process of this kind reaches what it may."""
        role, principal, policy = _WHO[who]
        shared = {
            name: value
            for name, value in self.world.environment.items()
            if name != "DATABASE_URL" and not name.endswith(("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
        }
        folder = self.folder_of(who)
        certificates = str(self.authority)
        if role:
            shared["DATABASE_URL_FILE"] = str(folder / "database-url")
        if principal:
            shared |= {
                "KAFKA__BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self.kafka.sasl_port}",
                "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
                "KAFKA__SASL_USERNAME": principal,
                "KAFKA__SASL_PASSWORD_FILE": str(folder / "kafka-password"),
                "KAFKA__SSL_CAFILE": certificates,
            }
        else:
            shared["KAFKA__BOOTSTRAP_SERVERS"] = f"{LOOPBACK}:1"
        if policy:
            shared["AWS_CA_BUNDLE"] = certificates
            shared |= self._access_key("STORE", folder)
        if who in {"syncer", "migration"}:
            shared |= self._access_key("SITES__LYON", self.folder_of("site") if who == "syncer" else folder)
        return shared

    @staticmethod
    def _access_key(store: str, folder: Path) -> dict[str, str]:
        return {
            f"{store}__ACCESS_KEY_ID_FILE": str(folder / "access-key-id"),
            f"{store}__SECRET_ACCESS_KEY_FILE": str(folder / "secret-access-key"),
        }

    @property
    def authority(self) -> Path:
        """The certificate of the authority that all servers are known by."""
        return self.kafka.authority

    def as_(self, who: str) -> World:
        """The world as this user sees it; its processes are those of the whole world."""
        return World(self.world.broker, self.world.folder, self.world.prefix, self.settings(who), self.world.processes)

    async def prepare(self) -> None:
        """Migrate as the administrator, and set up the stores."""
        await migrate_all(self.world.environment["DATABASE_URL"], self.world.environment["INSTANCE"])
        await self.world.prepare()

    def sql(self, statement: str) -> str:
        """Run a statement as the administrator; what `psql` prints."""
        return self.psql("--command", statement)

    def grant_in_database(self) -> None:
        """Run the file of grants as its head says."""
        self.psql("--file", str(GRANTS / "postgresql.sql"))

    def psql(self, *arguments: str, url: str | URL | None = None) -> str:
        """What `psql` prints, by default as the administrator.

        Raises:
            PermissionError: with PostgreSQL's words.
        """
        address = make_url(url or self.world.environment["DATABASE_URL"]).set(drivername="postgresql")
        ran = subprocess.run(
            [
                self.stack.postgres.programs / "psql",
                *("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", *arguments),
                *("--dbname", address.render_as_string(hide_password=False)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise PermissionError(ran.stderr)
        return ran.stdout.strip()

    def sql_as(self, who: str, statement: str) -> str:
        """Run a statement as one of the users.

        Raises:
            PermissionError: with PostgreSQL's words.
        """
        return self.psql("--command", statement, url=(self.folder_of(who) / "database-url").read_text().strip())

    def set_database_password(self, who: str) -> str:
        """Give a user of PostgreSQL a new password, which counts from now on."""
        password = self._secret()
        self.sql(f"ALTER ROLE {self.user(who)} PASSWORD '{password}'")
        return password

    def set_kafka_password(self, who: str) -> str:
        """Give a user of Kafka a new password, which counts from now on."""
        password = self._secret()
        self.kafka.set_password(self.principal(who), password)
        return password

    def set_access_key(self, who: str) -> None:
        """Give a user of S3 a new access key; the old one is nobody's from now on."""
        self.identities[who] = replace(
            self.identities[who],
            access_key_id=secrets.token_hex(10).upper(),
            secret_access_key=self._secret(),
        )
        self.objects.let_in(*self.identities.values())

    def tell_database_url(self, who: str, password: str) -> None:
        url = make_url(self.world.environment["DATABASE_URL"]).set(username=self.user(who), password=password)
        write_secret(self.folder_of(who) / "database-url", url.render_as_string(hide_password=False))

    def tell_kafka_password(self, who: str, password: str) -> None:
        write_secret(self.folder_of(who) / "kafka-password", password)

    def tell_access_key(self, who: str) -> None:
        identity = self.identities[who]
        self.passwords.add(identity.secret_access_key)
        write_secret(self.folder_of(who) / "access-key-id", identity.access_key_id)
        write_secret(self.folder_of(who) / "secret-access-key", identity.secret_access_key)

    def _secret(self) -> str:
        password = secrets.token_hex(16)
        self.passwords.add(password)
        return password


def write_secret(path: Path, content: str) -> None:
    """Replace a secret's file as a kubelet or an agent does: whole, by another file of its name."""
    fresh = path.with_suffix(".new")
    fresh.write_text(content + "\n")
    fresh.replace(path)


async def lets_in(settings: KafkaSettings) -> bool:
    """Whether Kafka lets a client with these credentials in."""
    producer = make_producer(settings)
    try:
        await producer.start()
    except KafkaConnectionError:
        return False
    finally:
        await producer.stop()
    return True
