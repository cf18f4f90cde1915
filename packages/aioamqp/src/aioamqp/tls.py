"""TLS settings: certificate authorities, client certificate, and whether to verify the server."""

import ssl
from dataclasses import dataclass

from ._loggers import protocol_logger


@dataclass(frozen=True)
class TlsSettings:
    """The settings for an SSLContext, for callers that pass no context.

    Attributes:
        cacertfile: certificates of the trusted authorities; None for those of the system.
        certfile: the client's certificate.
        keyfile: its private key, without a password; None if ``certfile`` contains it.
        verify: whether the server's certificate and the host name in it are verified.
    """

    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Create the context; log a warning if the server is not going to be verified.

        Raises:
            ValueError: a file cannot be used.
        """
        # Looked up on the module every time, since programs replace it in their tests.
        if self.cacertfile is None:
            context = ssl.create_default_context()
        else:
            try:
                context = ssl.create_default_context(cafile=self.cacertfile)
            except OSError as error:
                raise _unusable("cacertfile", self.cacertfile, error) from error
        if self.certfile is not None:
            try:
                # With a password, even an empty one, OpenSSL does not prompt at the terminal.
                context.load_cert_chain(self.certfile, self.keyfile, password="")
            except OSError as error:
                files = " with keyfile ".join(filter(None, (self.certfile, self.keyfile)))
                raise _unusable("certfile", files, error) from error
        if not self.verify:
            protocol_logger.warning(
                "TLS without verification: another host can impersonate the server; to verify its"
                " certificate, remove verify_ssl=False and verify=verify_none"
            )
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _unusable(name: str, path: str, error: OSError) -> ValueError:
    return ValueError(f"The {name} cannot be used for TLS: {path}: {error}")
