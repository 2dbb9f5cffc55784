"""What the chart makes of every file of values in `helm/rushes/ci`."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.chart import custom_resources, kubernetes_schemas
from tests.chart.helm_binaries import VERSIONS
from tests.chart.pod_security import violations
from tests.chart.rendering import CHART, VALUES, Object, find, lint, pods, render, rendered, rendered_text

GOLDEN = CHART / "golden" / "default.yaml"
every_values = pytest.mark.parametrize("values", VALUES)


def by_name(objects: tuple[Object, ...]) -> dict[tuple[str, str], Object]:
    """Objects by kind and name."""
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


@pytest.mark.parametrize("version", VERSIONS)
@every_values
def test_helm_finds_nothing_to_complain_of(version: str, values: str) -> None:
    assert "0 chart(s) failed" in lint(version, values)


@every_values
def test_both_helms_render_the_same(values: str) -> None:
    old, new = (by_name(rendered(version, values)) for version in VERSIONS)
    assert old == new


@pytest.mark.parametrize("version", kubernetes_schemas.kubernetes_versions())
def test_every_object_is_valid_in_kubernetes(version: str) -> None:
    found = {
        (values, each["kind"], each["metadata"]["name"]): complaints
        for values in VALUES
        for each in rendered("4.3", values)
        if (complaints := kubernetes_schemas.complaints(each, version))
    }
    assert found == {}


@every_values
def test_custom_resources_lose_nothing_in_their_models(values: str) -> None:
    custom = [each for each in rendered("4.3", values) if custom_resources.is_custom(each)]
    assert [complaint for each in custom for complaint in custom_resources.complaints(each)] == []


def test_a_misspelt_field_of_a_custom_resource_is_found() -> None:
    scaled = find(rendered("4.3", "keda-postgresql"), "ScaledObject")
    broken = {**scaled, "spec": {**scaled["spec"], "cooldownPeriods": 5}}
    assert custom_resources.complaints(broken) == [".spec.cooldownPeriods is not known"]


@every_values
def test_every_pod_is_restricted(values: str) -> None:
    found = {pod.owner: violations(pod.spec) for pod in pods(rendered("4.3", values))}
    assert found
    assert {owner: said for owner, said in found.items() if said} == {}


def test_the_default_rendering_is_the_golden_one() -> None:
    text = rendered_text("4.3", "default")
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert GOLDEN.read_text() == text, "if this is what you want: make chart GOLDEN=write"


@every_values
def test_every_container_says_what_it_needs(values: str) -> None:
    for pod in pods(rendered("4.3", values)):
        for container in pod.containers:
            resources = container["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"]), pod.owner
            assert "memory" in resources["limits"], pod.owner


@every_values
def test_selectors_choose_the_pods_that_they_are_for(values: str) -> None:
    objects = rendered("4.3", values)
    all_pods = list(pods(objects))

    def chosen(selector: dict[str, Any]) -> set[str]:
        wanted = selector["matchLabels"].items()
        return {pod.owner for pod in all_pods if wanted <= pod.metadata["labels"].items()}

    for each in objects:
        name = each["metadata"]["name"]
        match each["kind"]:
            case "Deployment":
                assert chosen(each["spec"]["selector"]) == {f"Deployment/{name}"}
                for spread in each["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
                    assert chosen(spread["labelSelector"]) == {f"Deployment/{name}"}
            case "PodDisruptionBudget":
                assert chosen(each["spec"]["selector"]) == {f"Deployment/{name}"}
            case "HorizontalPodAutoscaler" | "ScaledObject":
                assert f"Deployment/{each['spec']['scaleTargetRef']['name']}" in {pod.owner for pod in all_pods}
                assert "replicas" not in find(objects, "Deployment", each["spec"]["scaleTargetRef"]["name"])["spec"]
            case "NetworkPolicy":
                everybody = {pod.owner for pod in all_pods}
                assert chosen(each["spec"]["podSelector"]) == (
                    everybody if name in {"rushes", "previews"} else {f"Deployment/{name}"}
                )
            case "Service":
                assert chosen({"matchLabels": each["spec"]["selector"]}) == {f"Deployment/{name}"}


@every_values
def test_what_a_pod_refers_to_is_there(values: str) -> None:
    objects = rendered("4.3", values)
    made = set(by_name(objects))
    for pod in pods(objects):
        volumes = {volume["name"] for volume in pod.spec["volumes"]}
        for container in pod.containers:
            mounts = [mount["name"] for mount in container["volumeMounts"]]
            assert set(mounts) <= volumes, pod.owner
            assert len({mount["mountPath"] for mount in container["volumeMounts"]}) == len(mounts), pod.owner
            for source in container["envFrom"]:
                assert ("ConfigMap", source["configMapRef"]["name"]) in made, pod.owner
            names = [variable["name"] for variable in container["env"]]
            assert len(set(names)) == len(names), pod.owner
        if find_account := pod.spec["serviceAccountName"]:
            assert find_account == "default" or ("ServiceAccount", find_account) in made


@every_values
def test_every_deployment_waits_for_the_migration_with_its_own_image(values: str) -> None:
    for pod in pods(rendered("4.3", values)):
        if pod.owner.startswith("Deployment/"):
            (wait,) = pod.spec["initContainers"]
            (main,) = pod.spec["containers"]
            assert wait["command"] == [main["command"][0], "migrate", "--wait"]
            assert wait["image"] == main["image"]


@every_values
def test_no_pod_is_killed_before_its_jobs_may_end(values: str) -> None:
    for pod in pods(rendered("4.3", values)):
        if "worker" in pod.owner or "syncer" in pod.owner:
            assert pod.spec["terminationGracePeriodSeconds"] > 600, pod.owner


def test_scratch_holds_the_largest_source_of_each_slot() -> None:
    objects = render({"normalizer": {"largestSource": "100Gi", "poolDefaults": {"slots": 3}}})
    deployment = find(objects, "Deployment", "rushes-worker-general")
    spec = deployment["spec"]["template"]["spec"]
    (scratch,) = (volume["emptyDir"] for volume in spec["volumes"] if volume["name"] == "scratch")
    assert scratch["sizeLimit"] == f"{3 * (100 + 4) * 1024}Mi"
    assert spec["containers"][0]["resources"]["requests"]["ephemeral-storage"] == f"{3 * (100 + 4) * 1024 + 256}Mi"
    assert find(objects, "ConfigMap", "rushes-normalizer")["data"]["MAX_SOURCE_BYTES"] == str(100 * 2**30)


def test_a_volume_of_its_own_is_as_large_and_takes_no_room_of_the_node() -> None:
    objects = rendered("4.3", "pools")
    spec = find(objects, "Deployment", "rushes-worker-large")["spec"]["template"]["spec"]
    (claim,) = (volume["ephemeral"] for volume in spec["volumes"] if volume["name"] == "scratch")
    asked = claim["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"]
    assert asked == f"{(200 + 4) * 1024}Mi"
    assert "ephemeral-storage" not in spec["containers"][0]["resources"]["requests"]


def checksum(objects: tuple[Object, ...], name: str) -> str:
    """The checksum of settings that a Deployment's pods carry."""
    annotations = find(objects, "Deployment", name)["spec"]["template"]["metadata"]["annotations"]
    found: str = annotations["checksum/settings"]
    return found


def test_other_settings_replace_pods_and_migration() -> None:
    before, after = render({}), render({"settings": {"LOG_LEVEL": "debug"}})
    assert checksum(before, "rushes-control") != checksum(after, "rushes-control")
    assert find(before, "Job")["metadata"]["name"] != find(after, "Job")["metadata"]["name"]


def test_another_image_makes_another_migration() -> None:
    before, after = render({}), render({"image": {"tag": "0.2.0"}})
    assert find(before, "Job")["metadata"]["name"] != find(after, "Job")["metadata"]["name"]


def test_a_pool_that_is_scaled_changes_no_migration() -> None:
    before, after = render({}), render({"normalizer": {"pools": {"general": {"replicas": 0}}}})
    assert find(before, "Job")["metadata"]["name"] == find(after, "Job")["metadata"]["name"]
    assert find(after, "Deployment", "rushes-worker-general")["spec"]["replicas"] == 0


def test_credentials_are_references_to_existing_secrets() -> None:
    for values in VALUES:
        objects = rendered("4.3", values)
        assert "Secret" not in {each["kind"] for each in objects}
        for pod in pods(objects):
            for container in pod.containers:
                for variable in container["env"]:
                    if any(word in variable["name"] for word in ("PASSWORD", "SECRET", "ACCESS_KEY", "DATABASE_URL")):
                        mounted = str(variable.get("value", "")).startswith("/etc/rushes/")
                        assert mounted or "secretKeyRef" in variable["valueFrom"], (values, variable)


def test_each_kind_of_process_may_have_a_user_of_the_database_alone() -> None:
    secrets: dict[str, set[str]] = {}
    for pod in pods(rendered("4.3", "secured")):
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        secrets.setdefault(volumes["database"]["secret"]["secretName"], set()).add(pod.owner)
    assert set(secrets) == {"postgres-migration", "postgres-control", "postgres-worker", "postgres-app"}


def test_a_variable_of_the_studio_wins_over_the_charts() -> None:
    (main,) = find(rendered("4.3", "extras"), "Deployment", "previews-control")["spec"]["template"]["spec"][
        "containers"
    ]
    (url,) = (variable for variable in main["env"] if variable["name"].startswith("DATABASE_URL"))
    assert url["valueFrom"]["secretKeyRef"]["name"] == "vault"
    assert "/etc/rushes/database" not in {mount["mountPath"] for mount in main["volumeMounts"]}


def test_a_dashboard_comes_as_it_was_written(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "rushes")
    (tmp_path / "rushes" / "dashboards").mkdir(exist_ok=True)
    dashboard = {"uid": "probe", "panels": [{"legend": "{{pool}}", "text": "a\n\n  b"}]}
    (tmp_path / "rushes" / "dashboards" / "where_is_the_time.json").write_text(json.dumps(dashboard, indent=1) + "\n")
    values = {"podMonitor": {"enabled": True}, "dashboards": {"enabled": True, "annotations": {"folder": "Pipeline"}}}
    made = find(render(values, chart=tmp_path / "rushes"), "ConfigMap", "rushes-dashboard-where-is-the-time")
    assert json.loads(made["data"]["where_is_the_time.json"]) == dashboard
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert made["metadata"]["annotations"] == {"folder": "Pipeline"}


def test_the_test_pod_carries_a_picture_that_can_be_read(tmp_path: Path) -> None:
    data = find(rendered("4.3", "default"), "ConfigMap", "rushes-test")["binaryData"]["preview.png"]
    path = tmp_path / "preview.png"
    path.write_bytes(base64.b64decode(data))
    with Image.open(path) as picture:
        picture.load()
        assert picture.size == (32, 18)
