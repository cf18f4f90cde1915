"""What TLS is asked for: whom to trust, who we are, and whether to check at all."""

import ssl
from dataclasses import dataclass

from ._loggers import protocol_logger


@dataclass(frozen=True)
class TlsSettings:
    """What a context is made of where the caller gives none.

    Attributes:
        cacertfile: certificates of the authorities to trust; None for the system's.
        certfile: the client's own certificate.
        keyfile: its private key, without a password; None if ``certfile`` has it too.
        verify: whether the server's certificate is checked, and that it has the host's name.
    """

    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Make the context; with a warning in the log if nothing is going to be checked.

        Raises:
            ValueError: a file cannot be used.
        """
        # Looked up on the module each time: programs replace it in their tests.
        if self.cacertfile is None:
            context = ssl.create_default_context()
        else:
            try:
                context = ssl.create_default_context(cafile=self.cacertfile)
            except OSError as error:
                raise _unusable("cacertfile", self.cacertfile, error) from error
        if self.certfile is not None:
            try:
                # With a password, even an empty one, nobody is asked for it at the terminal.
                context.load_cert_chain(self.certfile, self.keyfile, password="")
            except OSError as error:
                files = " with keyfile ".join(filter(None, (self.certfile, self.keyfile)))
                raise _unusable("certfile", files, error) from error
        if not self.verify:
            protocol_logger.warning(
                "TLS without verification: anybody on the way can pose as the server; to check its"
                " certificate leave out verify_ssl=False and verify=verify_none"
            )
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _unusable(name: str, path: str, error: OSError) -> ValueError:
    return ValueError(f"The file of {name} cannot be used for TLS: {path}: {error}")
