"""The roles of a service, built from its settings: written once for all services."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from aiohttp import web

from rushes_runtime import metrics
from rushes_runtime.breaker import BreakerPolicy
from rushes_runtime.circuits import Circuits, NeededStore
from rushes_runtime.database import Database
from rushes_runtime.failures import RetryPolicy
from rushes_runtime.health import Health
from rushes_runtime.janitor import Janitor, Subjects
from rushes_runtime.leases import RoleLease
from rushes_runtime.ledger import Takes
from rushes_runtime.migrations import check_schema
from rushes_runtime.relay import Relay
from rushes_runtime.service import Need, Role, process_name, run_service
from rushes_runtime.settings import RuntimeSettings
from rushes_runtime.waiting import Hint
from rushes_runtime.worker import Result, Worker, WorkerLimits, Workshop


class HintedRole(Role, Protocol):
    """A role that is woken before its next look into the ledger."""

    hint: Hint


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
        audit_retention=float(settings.audit_retention),
        health=health,
    )


def make_circuits(settings: RuntimeSettings, stores: Sequence[NeededStore]) -> Circuits:
    """What a worker of the service knows of its stores."""
    policy = BreakerPolicy(
        failures=settings.store_failures,
        window=settings.store_failures_within,
        first_wait=settings.store_probe_first_wait,
        longest_wait=settings.store_probe_longest_wait,
    )
    return Circuits(stores, settings.instance, policy)


def retry_policy(settings: RuntimeSettings, confirm_absence_after: float) -> RetryPolicy:
    """When failed jobs are tried again."""
    return RetryPolicy(
        limit=settings.retry_limit,
        age=timedelta(seconds=settings.retry_age),
        first_wait=timedelta(seconds=settings.retry_first_wait),
        longest_wait=timedelta(seconds=settings.retry_longest_wait),
        confirm_absence_after=timedelta(seconds=confirm_absence_after),
    )


def make_worker(
    settings: RuntimeSettings,
    database: Database,
    workshop: Workshop[Result],
    health: Health,
    *,
    circuits: Circuits,
    confirm_absence_after: float,
    ended: Hint,
    takes: Takes = Takes.ALL,
    areas: Sequence[str] = (),
) -> Worker[Result]:
    """The worker of a service; its scratch folder is its own, below the one of the settings.

    Args:
        areas: as of `Worker`.
    """
    return Worker(
        name=process_name(),
        database=database,
        workshop=workshop,
        limits=WorkerLimits(
            slots=settings.slots,
            takes=takes,
            lease=settings.lease,
            heartbeat=settings.heartbeat,
            poll_interval=settings.poll_interval,
            stall_timeout=settings.stall_timeout,
            attempt_timeout=settings.attempt_timeout,
            drain_budget=settings.drain_budget,
        ),
        retries=retry_policy(settings, confirm_absence_after),
        scratch=settings.scratch,
        health=health,
        circuits=circuits,
        ended=ended,
        areas=areas,
    )


async def _try_scratch(folder: Path) -> None:
    """Write a file into a process's scratch folder, which the worker then empties."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "written").touch()


async def run_roles(
    settings: RuntimeSettings,
    service: str,
    roles: frozenset[str],
    *,
    database: Database,
    migrations: Path,
    stores: Sequence[NeededStore],
    workshop: Workshop[Result],
    make_intakes: Callable[[Health, Callable[[], None]], Sequence[Role]],
    confirm_absence_after: float,
    takes: Takes = Takes.ALL,
    beside_worker: Callable[[Health, Circuits, Hint], HintedRole] | None = None,
    routes: Sequence[web.RouteDef] = (),
    areas: Sequence[str] = (),
) -> int:
    """Run the chosen roles of a service until a signal; the exit code.

    Args:
        stores: what a worker's jobs need; those that all need must be whole before it starts.
        make_intakes: makes the intakes and what works beside them, given what each calls after a batch, to wake workers
            and relay.
        takes: the tasks that a worker takes into its slots.
        beside_worker: makes what works beside the slots of each worker, given what the worker knows of its stores, and
            what it gives after each end to wake the relay.
        routes: what the operations server serves beside metrics and probes.
        areas: of which tasks the worker takes; as of `Worker`.

    Raises:
        InstanceMismatchError: the database or a store belongs to another instance.
    """
    health = Health()
    metrics.DATABASE_ANSWERED.set_to_current_time()
    needs = [Need("PostgreSQL", lambda: check_schema(database, migrations, settings.instance))]
    front: list[Role] = []
    back: list[Role] = []
    relay = make_relay(settings, service, database, health)
    hints = [relay.hint]

    def wake() -> None:
        for hint in hints:
            hint.give()

    if "worker" in roles:
        circuits = make_circuits(settings, stores)
        scratch = settings.scratch / process_name()
        needs.append(Need("scratch", partial(_try_scratch, scratch)))
        needs.append(Need("the store", circuits.first_look))
        worker = make_worker(
            settings.model_copy(update={"scratch": scratch}),
            database,
            workshop,
            health,
            circuits=circuits,
            confirm_absence_after=confirm_absence_after,
            ended=relay.hint,
            takes=takes,
            areas=areas,
        )
        hints.append(worker.hint)
        front.append(worker)
        if beside_worker:
            beside = beside_worker(health, circuits, relay.hint)
            hints.append(beside.hint)
            front.append(beside)
    if "intake" in roles:
        front += make_intakes(health, wake)
    if "relay" in roles:
        back.append(relay)
    if "janitor" in roles:
        back.append(make_janitor(settings, database, workshop, health))
    return await run_service(
        health=health,
        operations=(settings.operations_host, settings.operations_port),
        needs=needs,
        front=front,
        back=back,
        routes=routes,
    )
