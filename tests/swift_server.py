"""OpenStack Swift with its S3 API on loopback: one device, one replica, for as long as a test session lasts."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rushes_embedded.leash import Leash, StartError
from rushes_embedded.ports import LOOPBACK, free_ports
from rushes_embedded.readiness import wait_until_ready

_PYTHON: Final[tuple[str | Path, ...]] = ("/usr/bin/python3", "-I")  # that of Debian's packages, and nothing else
_PROCESS: Final = Path(__file__).with_name("swift_process.py")
_PARTS: Final = ("account", "container", "object")
_USER: Final = "studio:owner"

_SWIFT_CONF: Final = """[swift-hash]
swift_hash_path_prefix = {secret}
swift_hash_path_suffix = {secret}
[storage-policy:0]
name = one
default = yes
"""

_DEFAULT: Final = """[DEFAULT]
bind_ip = {host}
bind_port = {port}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
fallocate_reserve = 0
user = {user}
workers = 0
"""

_PART_CONF: Final = """[pipeline:main]
pipeline = {part}-server
[app:{part}-server]
use = egg:swift#{part}
"""

_PROXY_CONF: Final = """[pipeline:main]
pipeline = catch_errors proxy-logging cache bulk s3api tempauth copy slo proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:proxy-logging]
use = egg:swift#proxy_logging
# tempauth insists on a memcache. Port 1 is nobody's: what cannot be kept there is looked up again.
[filter:cache]
use = egg:swift#memcache
memcache_servers = {host}:1
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
max_bucket_listing = 100
[filter:tempauth]
use = egg:swift#tempauth
user_studio_owner = {secret} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
"""


@cache
def swift_version() -> str | None:
    """Of the Swift that Debian's Python can import; None: there is none."""
    question = "import swift, swift.common.wsgi, xattr; print(swift.__version__)"
    asked = subprocess.run([*_PYTHON, "-c", question], capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else None


class Swift:
    """A Swift with its data in a temporary folder, whose file system must keep extended attributes."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rushes-swift-"))
        self._ports = free_ports(len(_PARTS) + 1)
        self._running = ExitStack()
        self.access_key_id = _USER
        self.secret_access_key = secrets.token_urlsafe(30)

    @property
    def endpoint_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports[-1]}"

    def start(self) -> None:
        """Returns when a bucket was made. Raises `StartError`."""
        (self._folder / "devices" / "disk").mkdir(parents=True)
        self._write("swift.conf", _SWIFT_CONF.format(secret=secrets.token_hex()))
        for part, port in zip(_PARTS, self._ports, strict=False):
            self._write(f"{part}.conf", self._default(port) + _PART_CONF.format(part=part))
        proxy = self._default(self._ports[-1]) + _PROXY_CONF.format(host=LOOPBACK, secret=self.secret_access_key)
        self._write("proxy.conf", proxy)
        rings = [*_PYTHON, _PROCESS, "rings", self._folder, *map(str, self._ports[:-1])]
        made = subprocess.run(rings, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise StartError(f"Swift's rings cannot be made: {made.stderr}")
        try:
            leash = None
            for part in (*_PARTS, "proxy"):
                command = [*_PYTHON, _PROCESS, part, self._folder / f"{part}.conf"]
                leash = Leash(command, log=self._folder / f"{part}.log", cwd=self._folder, env={"PATH": os.defpath})
                leash.start()
                self._running.callback(leash.stop)
            assert leash
            wait_until_ready("Swift", leash, self._complaint, timeout=240)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Stop it and remove its data."""
        self._running.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def settings(self, prefix: str, **names: str) -> dict[str, str]:
        """Environment variables of a store here.

        Args:
            prefix: of the variables, as `STORE__`.
        """
        values = {
            "KIND": "s3",
            "ENDPOINT_URL": self.endpoint_url,
            "ACCESS_KEY_ID": self.access_key_id,
            "SECRET_ACCESS_KEY": self.secret_access_key,
            "CONDITIONS": "looked_at",
            **names,
        }
        return {prefix + name: value for name, value in values.items()}

    def client(self) -> Any:
        """A plain client of its S3 API."""
        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(
                retries={"total_max_attempts": 1},
                connect_timeout=1,
                read_timeout=10,
                proxies={},
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
            ),
        )

    def _default(self, port: int) -> str:
        return _DEFAULT.format(host=LOOPBACK, port=port, folder=self._folder, user=getpass.getuser())

    def _write(self, name: str, content: str) -> None:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_text(content)

    def _complaint(self) -> str | None:
        client = self.client()
        try:
            client.create_bucket(Bucket="start-probe")
            client.delete_bucket(Bucket="start-probe")
        except (BotoCoreError, ClientError) as error:
            return str(error)
        finally:
            client.close()
        return None
