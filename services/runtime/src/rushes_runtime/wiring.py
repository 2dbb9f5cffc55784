"""The roles of a service, built from its settings: written once for all services."""

from __future__ import annotations

from datetime import timedelta

from rushes_runtime.database import Database
from rushes_runtime.failures import RetryPolicy
from rushes_runtime.health import Health
from rushes_runtime.janitor import Janitor, Subjects
from rushes_runtime.leases import RoleLease
from rushes_runtime.relay import Relay
from rushes_runtime.service import process_name
from rushes_runtime.settings import RuntimeSettings
from rushes_runtime.waiting import Hint
from rushes_runtime.worker import Result, Worker, WorkerLimits, Workshop

ROLES = ("intake", "worker", "relay", "janitor")


def make_relay(settings: RuntimeSettings, service: str, database: Database, health: Health) -> Relay:
    """The relay of a service."""
    return Relay(
        database=database,
        kafka=settings.kafka,
        lease=RoleLease(database, "relay", process_name(), settings.lease),
        lease_seconds=settings.lease,
        transactional_id=f"{settings.instance}.{service}.relay",
        poll_interval=settings.poll_interval,
        health=health,
    )


def make_janitor(settings: RuntimeSettings, database: Database, subjects: Subjects, health: Health) -> Janitor:
    """The janitor of a service."""
    return Janitor(
        database=database,
        subjects=subjects,
        role=RoleLease(database, "janitor", process_name(), settings.lease),
        interval=settings.janitor_interval,
        task_lease=settings.lease,
        loss_limit=settings.loss_limit,
        retention=settings.retention,
        health=health,
    )


def make_worker(
    settings: RuntimeSettings,
    database: Database,
    workshop: Workshop[Result],
    health: Health,
    *,
    confirm_absence_after: float,
    ended: Hint,
) -> Worker[Result]:
    """The worker of a service; its scratch folder is its own, below the one of the settings."""
    return Worker(
        name=process_name(),
        database=database,
        workshop=workshop,
        limits=WorkerLimits(
            slots=settings.slots,
            lease=settings.lease,
            heartbeat=settings.heartbeat,
            poll_interval=settings.poll_interval,
            stall_timeout=settings.stall_timeout,
            attempt_timeout=settings.attempt_timeout,
            drain_budget=settings.drain_budget,
        ),
        retries=RetryPolicy(
            limit=settings.retry_limit,
            age=timedelta(seconds=settings.retry_age),
            first_wait=timedelta(seconds=settings.retry_first_wait),
            longest_wait=timedelta(seconds=settings.retry_longest_wait),
            confirm_absence_after=timedelta(seconds=confirm_absence_after),
        ),
        scratch=settings.scratch,
        health=health,
        ended=ended,
    )
