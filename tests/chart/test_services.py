"""The services take what the chart gives them: commands, settings, topics, tables."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import rushes_kitsu.command_line
import rushes_normalizer.command_line
import rushes_syncer.command_line
import typer.main
from pydantic_settings import BaseSettings
from rushes_kitsu.settings import KitsuSettings
from rushes_normalizer.api.settings import ApiSettings
from rushes_normalizer.settings import NormalizerSettings
from rushes_runtime.kafka import COMPACTED, KEPT_A_MONTH
from rushes_runtime.settings import describe_settings, load_settings
from rushes_syncer.settings import SyncerSettings
from sqlalchemy import text

from tests.chart.rendering import VALUES, Object, find, pods, render, rendered
from tests.world import World

MODELS: dict[str, type[BaseSettings]] = {
    "rushes-normalizer": NormalizerSettings,
    "rushes-syncer": SyncerSettings,
    "rushes-kitsu": KitsuSettings,
}
COMMANDS = {
    "rushes-normalizer": rushes_normalizer.command_line.app,
    "rushes-syncer": rushes_syncer.command_line.app,
    "rushes-kitsu": rushes_kitsu.command_line.app,
}
SECRETS = dict.fromkeys(("DATABASE_URL", "ZOU_DATABASE_URL"), "postgresql+asyncpg://user:password@host/database")
MOUNTS = "/etc/rushes/"
every_values = pytest.mark.parametrize("values", VALUES)


def environment(objects: tuple[Object, ...], container: dict[str, Any]) -> dict[str, str]:
    """The variables that a container sees; secrets are made up."""
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found.update(find(objects, "ConfigMap", source["configMapRef"]["name"])["data"])
    for variable in container["env"]:
        name = variable["name"]
        found[name] = variable["value"] if "value" in variable else SECRETS.get(name, "secret")
    return found


def model_of(container: dict[str, Any]) -> type[BaseSettings]:
    """The settings that a container's command reads."""
    service, command, *_ = container["command"]
    return ApiSettings if command == "api" else MODELS[service]


def made_up(name: str, mounted: str, folder: Path) -> str:
    """A file in place of one that a Secret would hold."""
    file = folder / mounted.removeprefix(MOUNTS)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(SECRETS.get(name.removesuffix("_FILE"), "secret"))
    return str(file)


@every_values
def test_every_file_of_a_secret_is_mounted_where_it_is_looked_for(values: str) -> None:
    objects = rendered("4.3", values)
    for pod in pods(objects):
        for container in pod.containers:
            folders = {mount["mountPath"] for mount in container["volumeMounts"]}
            for name, value in environment(objects, container).items():
                if value.startswith(MOUNTS):
                    assert str(Path(value).parent) in folders, (pod.owner, name)


@every_values
def test_every_container_starts_with_settings_that_its_service_takes(
    values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    objects = rendered("4.3", values)
    for pod in pods(objects):
        for container in pod.containers:
            given = environment(objects, container)
            with monkeypatch.context() as patch:
                for name, value in given.items():
                    patch.setenv(name, made_up(name, value, tmp_path) if value.startswith(MOUNTS) else value)
                settings = load_settings(model_of(container))
            assert settings.model_dump()["operations_host"] == "0.0.0.0"


@every_values
def test_every_variable_is_one_that_something_reads(values: str) -> None:
    others = {"HOME", "PGSSLMODE", "PGSSLROOTCERT", "AWS_CA_BUNDLE", "SSL_CERT_DIR", "NODE_NAME"}
    objects = rendered("4.3", values)
    for pod in pods(objects):
        for container in pod.containers:
            # What waits before the API is a normalizer's command, and both are given the same.
            models = [model_of(each) for each in pod.containers]
            if pod.owner.endswith("-kitsu-build"):
                models.append(NormalizerSettings)
            known = {name for model in models for name, _ in describe_settings(model)}
            for name in environment(objects, container):
                prefix, _, rest = name.partition("__")
                generic = f"SITES__NAME__{rest.partition('__')[2]}" if prefix == "SITES" else name
                assert generic in known | others, (pod.owner, name)


@every_values
def test_every_command_is_one_that_its_service_knows(values: str) -> None:
    for pod in pods(rendered("4.3", values)):
        for container in pod.containers:
            service, name, *arguments = container["command"]
            if name == "publish":
                arguments[-1] = __file__  # it must exist
            group: Any = typer.main.get_command(COMMANDS[service])
            group.commands[name].make_context(name, list(arguments))


def test_topics_of_strimzi_are_those_of_the_migration() -> None:
    topics = {
        each["spec"]["topicName"]: each["spec"]["config"]
        for each in rendered("4.3", "strimzi")
        if each["kind"] == "KafkaTopic"
    }
    assert topics == {
        "show.preview-uploaded": KEPT_A_MONTH,
        "show.renormalize-requested": KEPT_A_MONTH,
        "show.status-changed": COMPACTED,
        "show.normalizer.dead-letters": KEPT_A_MONTH,
        "show.files-synced": KEPT_A_MONTH,
        "show.syncer.dead-letters": KEPT_A_MONTH,
        "show.kitsu.dead-letters": KEPT_A_MONTH,
    }
    job = find(rendered("4.3", "strimzi"), "Job")
    assert "--topics" not in str(job)


def test_topics_of_strimzi_stay_when_the_release_goes() -> None:
    topics = [each for each in rendered("4.3", "strimzi") if each["kind"] == "KafkaTopic"]
    assert {each["metadata"]["annotations"]["helm.sh/resource-policy"] for each in topics} == {"keep"}


def test_a_site_gets_its_own_store_and_nobody_elses() -> None:
    objects = rendered("4.3", "sites")
    (lyon,) = find(objects, "Deployment", "rushes-syncer-lyon")["spec"]["template"]["spec"]["containers"]
    given = environment(objects, lyon)
    assert given["SITES__LYON__ENDPOINT_URL"] == "https://s3.lyon.studio.internal"
    assert lyon["command"] == ["rushes-syncer", "run", "--site", "lyon"]
    assert not [name for name in given if name.startswith("SITES__NEW-YORK")]
    assert (given["SITES__LYON__KINDS"], given["SITES__LYON__MAX_AGE"]) == ("low_definition,thumbnail", "7776000")
    assert given["SITES__LYON__BANDWIDTH"] == "50M"
    assert "SITES__LYON__PROJECTS" not in given


async def test_the_preview_of_helm_test_becomes_ready_by_control_roles_and_a_worker_apart(
    world: World, tmp_path: Path
) -> None:
    objects = rendered("4.3", "default")
    picture = tmp_path / "preview.png"
    picture.write_bytes(base64.b64decode(find(objects, "ConfigMap", "rushes-test")["binaryData"]["preview.png"]))
    assert (await world.command("rushes-normalizer", "migrate", "--store"))[0] == 0
    commands = {pod.owner: pod.spec["containers"][0]["command"] for pod in pods(objects)}
    for owner in ("Deployment/rushes-control", "Deployment/rushes-worker-general"):
        world.process(*commands[owner], log=owner.rpartition("/")[2])
    try:
        service, *arguments, path = commands["Pod/rushes-test"]
        assert path == "/preview/preview.png"
        code, said, errors = await world.command(service, *arguments, str(picture))
    finally:
        world.stop_processes()
    assert (code, "ready" in said) == (0, True), errors


INSERT = text("""
    INSERT INTO task (subject, lane, rank, state, payload, batched, large, deferred, available_at)
    VALUES (gen_random_uuid()::text, 'upload', now(), :state, '{}', :batched, :large, :deferred,
            now() + make_interval(secs => :wait))""")
# Jobs by state, whether a batch looks for them, and seconds until their time comes; what KEDA makes of them.
QUEUES: dict[str, tuple[list[tuple[str, bool, int]], int]] = {
    "none": ([], 0),
    "running and due": ([("running", False, 0), ("queued", False, 0), ("queued", False, -60)], 3),
    "later or ended": ([("queued", False, 3600), ("done", False, 0), ("failed", False, 0)], 0),
    "looked for in batches": ([*[("queued", True, 0)] * 20, *[("running", True, 0)] * 20], 1),
    "more than all pods could do": ([("queued", False, 0)] * 100, 80),
}


def _job(state: str, *, batched: bool = False, large: bool = False, wait: int = 0) -> dict[str, Any]:
    return {"state": state, "batched": batched, "large": large, "deferred": wait != 0, "wait": wait}


async def test_kedas_query_of_each_pool_counts_the_jobs_that_it_takes(world: World) -> None:
    jobs = [_job("queued", large=True), _job("running", large=True), _job("queued", large=True), _job("queued")]
    scaled = [each for each in rendered("4.3", "pools") if each["kind"] == "ScaledObject"]
    counted = {}
    async with world.normalizer_database() as database:
        async with database.begin() as connection:
            for job in [*jobs, _job("queued", batched=True)]:
                await connection.execute(INSERT, job)
        for each in scaled:
            ((counted[each["metadata"]["name"]],),) = await database.fetch(
                each["spec"]["triggers"][0]["metadata"]["query"]
            )
    assert counted == {"rushes-worker-large": 3, "rushes-worker-ordinary": 2}  # one of them for what is batched


@pytest.mark.parametrize("name", QUEUES)
async def test_kedas_query_counts_the_slots_that_could_be_used_now(world: World, name: str) -> None:
    jobs, expected = QUEUES[name]
    query = find(rendered("4.3", "keda-postgresql"), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    async with world.normalizer_database() as database:
        async with database.begin() as connection:
            for state, batched, wait in jobs:
                await connection.execute(INSERT, _job(state, batched=batched, wait=wait))
        ((counted,),) = await database.fetch(query)
    assert counted == expected


def test_the_api_has_no_key_of_a_store_and_what_its_callers_show_is_mounted() -> None:
    for values in ({"kind": "s3"}, {"kind": "local", "existingClaim": "previews"}):
        chart = render({"api": {"enabled": True, "accessSecret": {"name": "access"}}, "store": values})
        spec = find(chart, "Deployment", "rushes-api")["spec"]["template"]["spec"]
        assert {volume["name"] for volume in spec["volumes"]} == {"tmp", "database", "api-access"}
        for container in (*spec["initContainers"], *spec["containers"]):
            assert not [each["name"] for each in container["env"] if each["name"].startswith("STORE__")]
    assert find(chart, "Service", "rushes-api")["spec"]["ports"][0]["name"] == "http"
