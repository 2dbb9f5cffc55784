"""A certificate authority of a test's own, by the `openssl` program."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rushes_embedded.objects import ServerTls

_DAYS = "2"


def openssl_version() -> str:
    """As it says it, or that it is not there."""
    program = shutil.which("openssl")
    if program is None:
        return "without openssl: tests of TLS and of credentials are left out"
    return subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True)
class Authority:
    """A private authority; `folder` holds what it has issued."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "authority.pem"

    @classmethod
    def make(cls, folder: Path) -> Authority:
        """A new authority."""
        folder.mkdir()
        authority = cls(folder)
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", _DAYS),
            *("-subj", "/CN=Authority of a test", "-keyout", folder / "authority.key", "-out", authority.certificate),
        )
        return authority

    def issue(self, name: str, *, hosts: str = "DNS:localhost,IP:127.0.0.1") -> ServerTls:
        """A certificate for a server or a client.

        Args:
            hosts: for which it is valid, as `subjectAltName` writes them.
        """
        certificate, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={hosts}\n")
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj", f"/CN={name}"),
            *("-keyout", key, "-out", request),
        )
        _openssl(
            *("x509", "-req", "-days", _DAYS, "-in", request, "-CA", self.certificate, "-CAcreateserial"),
            *("-CAkey", self.folder / "authority.key", "-extfile", extensions, "-out", certificate),
        )
        return ServerTls(certificate, key, self.certificate)


def _openssl(*arguments: str | Path) -> None:
    ran = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
