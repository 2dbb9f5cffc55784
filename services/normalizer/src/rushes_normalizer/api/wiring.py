"""Wires the API from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rushes_runtime import metrics
from rushes_runtime.database import Database
from rushes_runtime.health import Health
from rushes_runtime.migrations import check_schema
from rushes_runtime.service import Need, run_service

from rushes_normalizer.api.application import make_application, measured
from rushes_normalizer.api.asking import RequestSender
from rushes_normalizer.api.bodies import bounded
from rushes_normalizer.api.changes import ChangeFollower
from rushes_normalizer.api.event_stream import StreamLimits, Streams
from rushes_normalizer.api.guesses import Guesses
from rushes_normalizer.api.history import ChangeHistory
from rushes_normalizer.api.identity import Identities
from rushes_normalizer.api.pulse import DatabasePulse
from rushes_normalizer.api.rate_limit import RateLimit
from rushes_normalizer.api.routes import Api
from rushes_normalizer.api.server import ApiServer, Connections
from rushes_normalizer.api.settings import ApiSettings
from rushes_normalizer.application import MIGRATIONS
from rushes_normalizer.previews import SCHEMA


@dataclass(frozen=True)
class ApiRoles:
    """What runs: the server first to stop, then what its streams are fed by."""

    server: ApiServer
    follower: ChangeFollower
    database: Database


@asynccontextmanager
async def open_api(settings: ApiSettings, health: Health) -> AsyncIterator[ApiRoles]:
    """The API's roles, for as long as the block runs.

    Raises:
        UnreadableAccessError: the list of who may read what cannot be used.
        UnreadableSecretError: its file cannot be read.
    """
    identities = Identities(settings)
    database = Database.of(settings, SCHEMA)
    sender = RequestSender(settings.kafka)
    keep, expose = settings.api_stream_history, settings.expose_missing
    history = ChangeHistory(keep)
    follower = ChangeFollower(settings.kafka, history, keep=keep, expose=expose, health=health)
    connections = Connections()
    streams = Streams(settings.api_streams, settings.api_streams_each, connections.abort)
    rate, burst, guesses = settings.api_requests_per_minute, settings.api_burst, settings.api_guesses_per_minute
    api = Api(
        database=database,
        identities=identities,
        rate_limit=RateLimit(rate, burst),
        guesses=Guesses(RateLimit(guesses, guesses), RateLimit(rate, burst)),
        sender=sender,
        history=history,
        follower=follower,
        streams=streams,
        stream_limits=StreamLimits(settings.api_stream_heartbeat, settings.api_stream_patience),
        expose_missing=expose,
    )
    app = measured(bounded(make_application(api, expose_missing=expose)))
    try:
        yield ApiRoles(ApiServer(app, settings, streams, connections), follower, database)
    finally:
        await sender.close()
        await database.close()


async def serve(settings: ApiSettings) -> int:
    """Answer API consumers until a signal; the exit code. Several processes share the work.

    Raises:
        UnreadableAccessError: the list of who may read what cannot be used.
        UnreadableSecretError: its file cannot be read.
        InstanceMismatchError: the database belongs to another instance.
    """
    health = Health()
    metrics.DATABASE_ANSWERED.set_to_current_time()
    async with open_api(settings, health) as roles:
        return await run_service(
            health=health,
            operations=(settings.operations_host, settings.operations_port),
            needs=[Need("PostgreSQL", lambda: check_schema(roles.database, MIGRATIONS, settings.instance))],
            front=[roles.server],
            back=[roles.follower, DatabasePulse(roles.database, health)],
        )
