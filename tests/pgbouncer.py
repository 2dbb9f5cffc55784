"""PgBouncer between a service and PostgreSQL, for tests of what pooled connections change."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rushes_embedded.accounts import unprivileged_account
from rushes_embedded.leash import Leash
from rushes_embedded.objects import ServerTls
from rushes_embedded.ports import free_ports
from rushes_embedded.readiness import wait_until_ready
from sqlalchemy import make_url


def find_pgbouncer() -> Path | None:
    """PgBouncer's program, on the PATH or where Debian puts it."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    return Path(found) if found else None


def pgbouncer_version() -> str:
    """As it says it, or that it is not there."""
    program = find_pgbouncer()
    if program is None:
        return "without PgBouncer: its tests are left out"
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


@contextmanager
def pgbouncer_before(url: str, *, mode: str, servers: int, tls: ServerTls | None = None) -> Iterator[str]:
    """The address of a database by way of a PgBouncer of its own.

    Args:
        url: the database's own address.
        mode: `session`, `transaction` or `statement`.
        servers: connections to PostgreSQL, at most.
        tls: what it shows its clients, who must come by TLS then.
    """
    program = find_pgbouncer()
    assert program
    address = make_url(url)
    port = free_ports(1)[0]
    account = unprivileged_account()  # it refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="rushes-pgbouncer-"))
    try:
        secured = ""
        if tls:
            (folder / "key").write_bytes(tls.key.read_bytes())
            (folder / "certificate").write_bytes(tls.certificate.read_bytes())
            secured = f"""client_tls_sslmode = require
client_tls_key_file = {folder}/key
client_tls_cert_file = {folder}/certificate
"""
        (folder / "users").write_text(f'"{address.username}" "{address.password}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"""[databases]
* = host={address.host} port={address.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {servers}
max_client_conn = 200
server_login_retry = 0.2
{secured}"""
        )
        if account:
            for path in (folder, *folder.iterdir()):
                os.chown(path, account.uid, account.gid)
        leash = Leash([program, folder / "pgbouncer.ini"], log=folder / "log", cwd=folder, account=account)
        leash.start()
        try:
            wait_until_ready("PgBouncer", leash, lambda: _complaint(port), timeout=120)
            yield address.set(port=port).render_as_string(hide_password=False)
        finally:
            leash.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _complaint(port: int) -> str | None:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError as error:
        return str(error)
    return None
