"""Running PostgreSQL as somebody else: it refuses to run as root."""

import os
import pwd
import subprocess
from pathlib import Path

from rushes_embedded.leash import Account


def unprivileged_account() -> Account | None:
    """The account that a server must take to be unprivileged: `nobody` for root, None (ourselves) for all others."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return Account(65534, 65534)
    return Account(nobody.pw_uid, nobody.pw_gid)


def can_reach(account: Account, folder: Path) -> bool:
    """Whether `account`, who owns nothing and is in no group of ours, may pass through `folder` and all above it."""
    folder = folder.resolve()
    return all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


def can_run(account: Account, program: Path) -> bool:
    """Whether `account` can execute `program` (by trying: `--version`)."""
    try:
        tried = subprocess.run(
            [program, "--version"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return tried.returncode == 0
