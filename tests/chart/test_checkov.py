"""checkov, in an environment of its own in the user's cache."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.cache import programs_of
from tests.chart.helm_binaries import ROOT
from tests.chart.rendering import pods, rendered, rendered_text

_LOCK: Final = ROOT / "helm" / "checkov.lock"
# What we do otherwise, and why.
SKIPPED: Final = {
    "CKV_K8S_8": "liveness of the test's pod, which has an end and a deadline; others are tested to have it",
    "CKV_K8S_9": "the same of readiness",
    "CKV_K8S_11": "limits of processor time make encodes slower while cores are idle; requests share them out",
    "CKV_K8S_15": "the pull policy is the studio's to choose",
    "CKV_K8S_21": "the namespace is the release's",
    "CKV_K8S_35": "the services take their settings, credentials too, from the environment",
    "CKV_K8S_43": "so is the image's digest",
}


def test_checkov_finds_nothing_that_is_not_explained() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for values in ("extras", "pools", "sites"):
            (Path(folder) / f"{values}.yaml").write_text(rendered_text("4.3", values))
        options = ["--framework", "kubernetes", "--skip-download", "--compact", "--quiet", "--output", "json"]
        program = programs_of("checkov", _LOCK) / "checkov"
        command = [str(program), "--directory", folder, *options, "--skip-check", ",".join(SKIPPED)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(ran.stdout)
    assert found["summary"]["passed"] > 100
    failed = [
        (check["check_id"], check["check_name"], check["resource"]) for check in found["results"]["failed_checks"]
    ]
    assert failed == []


def test_every_running_container_has_its_probes() -> None:
    for pod in pods(rendered("4.3", "sites")):
        if pod.owner.startswith("Deployment/"):
            (main,) = pod.spec["containers"]
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(main), pod.owner
