"""`make test-kubernetes`: installs image and chart on a real cluster, and does to them what operators do.

Without options the cluster is one of its own: two nodes of real Kubernetes on this machine, in namespaces that end
with this process. With `--kubeconfig`, `--loader` and `--address` it is any other; what is made there is removed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rushes_embedded.kafka_jars import find_apache_kafka

from tests.chart.helm_binaries import helm_binary
from tests.kubernetes.binaries import find_kubernetes, kubernetes_binaries
from tests.kubernetes.commands import NAMESPACE, Operator
from tests.kubernetes.isolation import prepare_namespaces, run_isolated
from tests.kubernetes.node import BRIDGE_ADDRESS, Cluster
from tests.kubernetes.report import Report
from tests.kubernetes.servers import Servers
from tests.kubernetes.trial import Trial
from tests.kubernetes.uploads import Uploads
from tests.kubernetes.values import DATABASE, chart_values
from tests.world import World

_INSIDE = "RUSHES_KUBERNETES_INSIDE"


def main() -> int:
    options = _options()
    if missing := find_apache_kafka() or (None if options.kubeconfig else find_kubernetes()):
        print(f"Rushes cannot be tried on Kubernetes here: {missing}", file=sys.stderr)
        return 1
    if inside := os.environ.get(_INSIDE):
        return _with_own_cluster(options, Path(inside))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Not under /tmp, which may be memory: images are unpacked twice.
    folder = Path(tempfile.mkdtemp(prefix="rushes-kubernetes-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        if options.kubeconfig:
            return _with_their_cluster(options, folder)
        kubernetes_binaries()
        helm_binary("4.3")
        os.environ[_INSIDE] = str(folder)
        return run_isolated([sys.executable, "-m", "tests.kubernetes", *sys.argv[1:]], folder.name)
    finally:
        if options.keep_logs and (folder / "logs").exists():
            shutil.copytree(folder / "logs", options.keep_logs, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes", description=__doc__)
    parser.add_argument("--image", type=Path, default="dist/rushes.tar", help="docker-archive; default: %(default)s")
    parser.add_argument("--keep-logs", type=Path, help="a folder for the logs of the cluster and of all pods")
    theirs = parser.add_argument_group("another cluster")
    theirs.add_argument("--kubeconfig", type=Path, help="its administrator's kubeconfig")
    theirs.add_argument("--loader", help="a command that brings a docker-archive to its nodes; the path is added")
    theirs.add_argument("--address", help="an address of this machine that its pods reach")
    options = parser.parse_args()
    given = [bool(options.kubeconfig), bool(options.loader), bool(options.address)]
    if any(given) and not all(given):
        parser.error("--kubeconfig, --loader and --address go together")
    if not options.image.exists():
        parser.error(f"{options.image} is not there; `make image` builds it")
    return options


def _with_own_cluster(options: argparse.Namespace, folder: Path) -> int:
    prepare_namespaces()
    report = Report()
    cluster = Cluster(kubernetes_binaries(), folder, folder.name)
    try:
        with report.step("two nodes of Kubernetes are ready"):
            cluster.start()
        with report.step("the image is on both") as step:
            cluster.load(options.image)
            step.saw(f"{options.image.stat().st_size / 1_000_000:.0f} MB")
        operator = Operator(cluster.kubeconfig, cluster.binaries / "kubectl", helm_binary("4.3"))
        return asyncio.run(_try(options, operator, BRIDGE_ADDRESS, folder, report))
    finally:
        cluster.stop()


def _with_their_cluster(options: argparse.Namespace, folder: Path) -> int:
    report = Report()
    kubectl = shutil.which("kubectl")
    operator = Operator(
        options.kubeconfig,
        Path(kubectl) if kubectl else kubernetes_binaries() / "kubectl",
        helm_binary("4.3"),
    )
    with report.step("the image is loaded"):
        if os.system(f"{options.loader} {options.image}") != 0:  # a command line, as it was given
            print(f"the loader failed: {options.loader}", file=sys.stderr)
            return 1
    return asyncio.run(_try(options, operator, options.address, folder, report))


async def _try(options: argparse.Namespace, operator: Operator, address: str, folder: Path, report: Report) -> int:
    with ExitStack() as stack:
        with report.step("Apache Kafka, PostgreSQL and an S3 server are ready"):
            servers = stack.enter_context(Servers(folder / "servers", address).running())
            database_url = servers.postgres.create_database(DATABASE)
        world = World(servers.kafka, folder, "", _environment(servers, database_url))
        trial = Trial(
            operator,
            servers,
            await Uploads.make(world, folder),
            folder,
            chart_values(servers, address, _name_of(options.image)),
            database_url,
            report,
        )
        try:
            await trial.run()
        except BaseException:
            await _keep_logs(operator, folder / "logs")
            raise
        finally:
            await operator.kubectl_says("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
    print(f"{report.steps} passed, 0 failed")
    return 0


def _environment(servers: Servers, database_url: str) -> dict[str, str]:
    return {
        "INSTANCE": "rushes",
        "DATABASE_URL": database_url,
        "KAFKA__BOOTSTRAP_SERVERS": servers.kafka.bootstrap_servers,
        "STORE__KIND": "s3",
        "STORE__ENDPOINT_URL": servers.objects.endpoint_url,
        "STORE__ACCESS_KEY_ID": servers.objects.access_key_id,
        "STORE__SECRET_ACCESS_KEY": servers.objects.secret_access_key,
    }


def _name_of(image: Path) -> str:
    with tarfile.open(image) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest
        name: str = json.load(manifest)[0]["RepoTags"][0]
    return name


async def _keep_logs(operator: Operator, folder: Path) -> None:
    """What pods said, and what became of them, for whoever looks after a failure."""
    folder.mkdir(exist_ok=True)
    (folder / "events.txt").write_text(await operator.kubectl_says("get", "events", "--sort-by=.lastTimestamp"))
    (folder / "pods.txt").write_text(await operator.kubectl_says("describe", "pods"))
    for pod in await operator.get("pods"):
        name = pod["metadata"]["name"]
        said = await operator.kubectl_says("logs", name, "--all-containers", "--ignore-errors")
        (folder / f"{name}.log").write_text(said)


if __name__ == "__main__":
    sys.exit(main())
