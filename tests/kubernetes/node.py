"""A Kubernetes cluster of two nodes on one machine: every process in the namespaces of this one."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from tests.kubernetes.binaries import CNI_PLUGINS, write_pause_image
from tests.kubernetes.isolation import cgroup_hierarchies

# Pods are in one network with a bridge, whose address leads to servers of this namespace.
BRIDGE_ADDRESS: Final = "10.244.0.1"
_POD_NETWORK: Final = "10.244.0.0/24"
_NODES: Final = {"one": "10.243.0.1", "two": "10.243.0.2"}
_API: Final = "https://127.0.0.1:6443"
_ETCD: Final = "http://127.0.0.1:2379"
_SECONDS_TO_START: Final = 180


class ClusterError(Exception):
    """A part of the cluster did not start; the message has the end of its log."""


@dataclass
class Cluster:
    """etcd, API server, controllers, scheduler, and for each node a kubelet and a containerd."""

    binaries: Path
    folder: Path
    cgroup: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def kubeconfig(self) -> Path:
        """Its administrator's."""
        return self.folder / "kubeconfig"

    def start(self) -> None:
        """Start all of it; returns when both nodes are ready.

        Raises:
            ClusterError: a part ended, or is not ready after minutes.
        """
        (self.folder / "certificates").mkdir(parents=True)
        self._make_network()
        self._start_control_plane()
        for node, address in _NODES.items():
            self._start_node(node, address)
        for node in _NODES:
            self._wait_for(f"kubelet-{node}", partial(self._is_ready, node))

    def load(self, archive: Path) -> None:
        """Bring a docker-archive to both nodes."""
        for node in _NODES:
            address = self.folder / node / "containerd.sock"
            command = ["ctr", "--address", str(address), "--namespace", "k8s.io", "images", "import", str(archive)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        """Ask every part to end, the nodes first; the namespace ends what does not."""
        for name in reversed(self.processes):
            self.processes[name].terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def _make_network(self) -> None:
        for address in _NODES.values():
            subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
        subprocess.run(["ip", "link", "add", "rushes0", "type", "bridge"], check=True)
        subprocess.run(["ip", "address", "add", f"{BRIDGE_ADDRESS}/24", "dev", "rushes0"], check=True)
        subprocess.run(["ip", "link", "set", "rushes0", "up"], check=True)
        bridge = {
            "type": "bridge",
            "bridge": "rushes0",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": _POD_NETWORK, "rangeStart": "10.244.0.10"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(self.folder / "addresses"),
            },
        }
        network = self.folder / "network"
        network.mkdir()
        (network / "10-pods.conflist").write_text(
            json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]})
        )
        # No names are resolved in there.
        (self.folder / "resolv.conf").touch()

    def _start_control_plane(self) -> None:
        certificates = self.folder / "certificates"
        key = certificates / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        token = secrets.token_hex(16)
        (self.folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
        self.kubeconfig.write_text(json.dumps(_kubeconfig(token)))
        peers = "http://127.0.0.1:2380"
        self._start(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            *(f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}", f"--listen-peer-urls={peers}"),
        )
        self._start(
            "kube-apiserver",
            f"--etcd-servers={_ETCD}",
            *("--bind-address=127.0.0.1", "--secure-port=6443", f"--advertise-address={_NODES['one']}"),
            f"--cert-dir={certificates}",
            "--service-account-issuer=https://kubernetes.default.svc",
            *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
            "--service-cluster-ip-range=10.96.0.0/24",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            *("--authorization-mode=RBAC", "--endpoint-reconciler-type=none", "--allow-privileged=false"),
            "--kubelet-preferred-address-types=InternalIP",
        )
        self._wait_for("kube-apiserver", lambda: self._asks("get", "--raw", "/readyz") == "ok")
        as_admin = [f"--{use}={self.kubeconfig}" for use in _KUBECONFIG_OPTIONS]
        self._start(
            "kube-controller-manager",
            *as_admin,
            f"--service-account-private-key-file={key}",
            f"--root-ca-file={certificates / 'apiserver.crt'}",
            *("--use-service-account-credentials=true", "--leader-elect=false"),
            # A node that is silent is given up as late as possible: this machine may be busy.
            "--node-monitor-grace-period=300s",
        )
        self._start("kube-scheduler", *as_admin, "--leader-elect=false")
        self._wait_for("kube-controller-manager", lambda: bool(self._asks("get", "serviceaccount", "default")))

    def _start_node(self, node: str, address: str) -> None:
        folder = self.folder / node
        folder.mkdir()
        socket = folder / "containerd.sock"
        (folder / "containerd.toml").write_text(_containerd(folder, socket, self.folder / "network"))
        self._start(f"containerd-{node}", "--config", str(folder / "containerd.toml"), program="containerd")
        client = ["ctr", "--address", str(socket), "version"]
        self._wait_for(f"containerd-{node}", lambda: _succeeds(client))
        pause = folder / "pause.tar"
        write_pause_image(self.binaries / "pause", pause)
        command = ["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", "import", str(pause)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for hierarchy in cgroup_hierarchies():
            (hierarchy / self.cgroup / node).mkdir(parents=True)
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "address": address,
            "healthzPort": 0,
            "containerRuntimeEndpoint": f"unix://{socket}",
            "resolvConf": str(self.folder / "resolv.conf"),
            "failSwapOn": False,
            "failCgroupV1": False,
            # Each its own: a kubelet removes the logs of pods that it does not know.
            "podLogsDir": str(folder / "pod-logs"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}/{node}",
            "enforceNodeAllocatable": [],
            "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
        }
        (folder / "kubelet.json").write_text(json.dumps(configuration))
        self._start(
            f"kubelet-{node}",
            f"--config={folder / 'kubelet.json'}",
            f"--kubeconfig={self.kubeconfig}",
            f"--root-dir={folder / 'kubelet'}",
            f"--hostname-override={node}",
            f"--node-ip={address}",
            program="kubelet",
        )

    def _start(self, name: str, *arguments: str, program: str | None = None) -> None:
        built = self.binaries / (program or name)
        command = str(built) if built.exists() else str(shutil.which(program or name))
        with self._log(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def _log(self, name: str) -> Path:
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        return logs / f"{name}.log"

    def _is_ready(self, node: str) -> bool:
        return (
            self._asks("get", "node", node, "--output=jsonpath={.status.conditions[?(@.type=='Ready')].status}")
            == "True"
        )

    def _asks(self, *arguments: str) -> str:
        command = [
            str(self.binaries / "kubectl"),
            f"--kubeconfig={self.kubeconfig}",
            "--request-timeout=5s",
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def _wait_for(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS_TO_START
        while not ready():
            if self.processes[name].poll() is not None or time.monotonic() > deadline:
                end = self._log(name).read_text(errors="replace").splitlines()[-15:]
                raise ClusterError(f"{name} is not ready:\n" + "\n".join(end))
            time.sleep(0.2)


_KUBECONFIG_OPTIONS: Final = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")


def _kubeconfig(token: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": _API, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
        "current-context": "here",
    }


def _containerd(folder: Path, socket: Path, network: Path) -> str:
    # restrict_oom_score_adj: without it, a containerd that may not lower that score starts no pod.
    return f"""\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{network}"
"""


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
