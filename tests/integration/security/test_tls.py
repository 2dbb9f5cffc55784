"""Servers are known by a private authority; another's certificate, and another host's, are refused."""

from __future__ import annotations

import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from rushes_embedded.objects import Objects, ServerTls
from rushes_embedded.ports import LOOPBACK
from rushes_embedded.stack import Stack
from rushes_runtime.database import Database, is_away
from rushes_runtime.kafka import CredentialFiles, make_producer
from rushes_runtime.settings import KafkaSettings, StoreSettings
from rushes_runtime.store import StoreUnavailableError, open_store
from rushes_schemas.outputs import MOVIES
from sqlalchemy import make_url

from tests.certificates import Authority
from tests.pgbouncer import find_pgbouncer, pgbouncer_before
from tests.secured import Secured, SecuredKafka, lets_in

pytestmark = pytest.mark.alone


@pytest.fixture(scope="session")
def stranger(stack: Stack, authority: Authority) -> Authority:
    """An authority that nobody was told of."""
    return Authority.make(stack.folder / "stranger")


async def test_a_store_is_known_by_its_authority(
    secured_objects: Objects, authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = StoreSettings(
        kind="s3",
        endpoint_url=secured_objects.endpoint_url,
        access_key_id=secured_objects.access_key_id,
        secret_access_key=secured_objects.secret_access_key,
    )
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.certificate))
    async with open_store(settings) as store:
        await store.ensure_bucket(MOVIES)
        assert await store.stat(MOVIES, "nothing") is None
        assert await store.absent(MOVIES, ["nothing"]) == {"nothing"}
    monkeypatch.setenv("AWS_CA_BUNDLE", str(stranger.certificate))
    async with open_store(settings) as store:
        with pytest.raises(StoreUnavailableError, match="certificate verify failed"):
            await store.stat(MOVIES, "nothing")
        with pytest.raises(StoreUnavailableError):
            await store.absent(MOVIES, ["nothing"])


@pytest.mark.skipif(find_pgbouncer() is None, reason="no PgBouncer, which speaks TLS for the embedded PostgreSQL")
async def test_a_database_is_known_by_its_authority_and_its_name(
    stack: Stack, authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answers(url: str) -> bool:
        database = Database(url, "normalizer")
        try:
            return bool(await database.fetch("SELECT 1"))
        except Exception as error:
            if not is_away(error):
                raise
            return False
        finally:
            await database.close()

    shown = authority.issue("database", hosts="DNS:localhost")
    with pgbouncer_before(stack.postgres.url, mode="transaction", servers=4, tls=shown) as address:
        named = make_url(address).set(host="localhost").render_as_string(hide_password=False)
        monkeypatch.setenv("PGSSLMODE", "verify-full")
        monkeypatch.setenv("PGSSLROOTCERT", str(authority.certificate))
        assert await answers(named)
        assert not await answers(address)  # 127.0.0.1 is no name of this certificate
        monkeypatch.setenv("PGSSLROOTCERT", str(stranger.certificate))
        assert not await answers(named)
        monkeypatch.setenv("PGSSLMODE", "disable")
        assert not await answers(named)


def _by_certificate(kafka: SecuredKafka, tls: ServerTls) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=f"{LOOPBACK}:{kafka.mutual_port}",
        security_protocol="SSL",
        ssl_cafile=tls.authority,
        ssl_certfile=tls.certificate,
        ssl_keyfile=tls.key,
    )


async def test_a_client_certificate_is_a_user_of_the_bus_with_its_rights_alone(
    secured: Secured, secured_kafka: SecuredKafka, authority: Authority, stranger: Authority
) -> None:
    producer = make_producer(_by_certificate(secured_kafka, authority.issue("rushes-publisher")))
    await producer.start()
    try:
        await producer.send_and_wait(f"{secured.world.prefix}preview-uploaded", b"{}")
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(f"{secured.world.prefix}status-changed", b"{}")
    finally:
        await producer.stop()
    ours, foreign = authority.issue("rushes-publisher"), stranger.issue("rushes-publisher")
    for refused in (
        ServerTls(foreign.certificate, foreign.key, authority.certificate),  # Kafka does not know its authority
        ServerTls(ours.certificate, ours.key, stranger.certificate),  # nor we Kafka's
    ):
        assert not await lets_in(_by_certificate(secured_kafka, refused))


def test_a_client_of_the_bus_is_made_anew_once_its_certificate_was_replaced(
    secured_kafka: SecuredKafka, authority: Authority
) -> None:
    shown = authority.issue("rushes-normalizer")
    files = CredentialFiles(_by_certificate(secured_kafka, shown))
    assert not files.changed()
    shown.certificate.rename(shown.certificate.with_suffix(".old"))
    assert not files.changed()  # in the midst of being replaced
    authority.issue("rushes-normalizer")
    assert files.changed()
