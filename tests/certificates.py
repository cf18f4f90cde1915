"""A private certificate authority for one test run, created with the `openssl` program."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


class OpenSSLMissing(Exception):
    """The `openssl` program is not installed."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key."""

    certfile: Path
    keyfile: Path


class Authority:
    """Issues certificates into a folder.

    Raises:
        OpenSSLMissing: `openssl` is not on PATH.
    """

    def __init__(self, folder: Path, name: str = "aioamqp tests") -> None:
        if shutil.which("openssl") is None:
            raise OpenSSLMissing("openssl is not on PATH; install the package openssl")
        self._folder = folder
        # Python 3.13: certificates are checked strictly, and so must say what their key is for
        self.own = self._issue(
            "authority",
            name,
            "basicConstraints=critical,CA:TRUE",
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    @property
    def cacertfile(self) -> Path:
        """The certificate of the authority, for clients that trust it."""
        return self.own.certfile

    def issue(self, common_name: str, alternative_name: str) -> Certificate:
        """Issue a certificate; the alternative name is `DNS:...` or `IP:...`."""
        return self._issue(
            common_name,
            common_name,
            f"subjectAltName={alternative_name}",
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-CA", str(self.own.certfile), "-CAkey", str(self.own.keyfile)),
        )

    def _issue(self, file_name: str, subject: str, extension: str, *options: str) -> Certificate:
        issued = Certificate(self._folder / f"{file_name}.pem", self._folder / f"{file_name}.key")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={subject}"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-addext", extension, *options),
                *("-out", str(issued.certfile), "-keyout", str(issued.keyfile)),
            ],
            check=True,
            capture_output=True,
        )
        return issued
