"""TLS: settings for an SSLContext, and what an error of TLS means."""

import ssl
from dataclasses import dataclass
from typing import Final

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
                raise ValueError(
                    f"The cacertfile cannot be used for TLS: {self.cacertfile}:"
                    f" {_no_authority(error)}"
                ) from error
        if self.certfile is not None:
            try:
                # With a password, even an empty one, OpenSSL does not prompt at the terminal.
                context.load_cert_chain(self.certfile, self.keyfile, password="")
            except OSError as error:
                raise ValueError(_no_chain(self.certfile, self.keyfile, error)) from error
        if not self.verify:
            protocol_logger.warning(
                "TLS without verification: another host can impersonate the server; to verify its"
                " certificate, remove verify_ssl=False and verify=verify_none"
            )
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _no_authority(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "NO_CERTIFICATE_OR_CRL_FOUND":
        return f"it contains no certificate in PEM format ({error})"
    return str(error)


def _no_chain(certfile: str, keyfile: str | None, error: OSError) -> str:
    """Explain why a client certificate and its key cannot be used."""
    contents: list[bytes] = []
    for name, path in (("certfile", certfile), ("keyfile", keyfile or certfile)):
        try:
            with open(path, "rb") as file:
                contents.append(file.read())
        except OSError as unreadable:
            return f"The {name} cannot be used for TLS: {path}: {unreadable.strerror}"
    certificate, key = contents
    has_certificate, has_key = b"CERTIFICATE-----" in certificate, b"PRIVATE KEY-----" in key
    files = " with keyfile ".join(filter(None, (certfile, keyfile)))
    text = str(error)
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        text = f"that is the key of another certificate ({error})"
    elif b"PRIVATE KEY-----" in certificate and not has_key and b"CERTIFICATE-----" in key:
        text = "the two files are swapped: certfile has the key, and keyfile the certificate"
    elif not has_certificate:
        text = f"certfile contains no certificate in PEM format ({error})"
    elif not has_key and keyfile is None:
        text = f"it contains no private key; give the file that has it as keyfile ({error})"
    elif not has_key:
        text = f"keyfile contains no private key in PEM format ({error})"
    elif b"ENCRYPTED" in key:
        text = (
            "the private key is encrypted; decrypt it with openssl pkey, or load it with its"
            f" password into a context, and pass that as ssl ({error})"
        )
    return f"The certfile cannot be used for TLS: {files}: {text}"


_NO_TLS: Final = (
    "the server does not speak TLS on this port: use amqp:// and the port 5672, or the port with"
    " TLS, which usually is 5671"
)
_NO_VERSION: Final = (
    "the server and this program have no version of TLS in common: the server may only speak TLS"
    " 1.0 or 1.1, which are not secure; update it, or pass a context with a lower minimum_version"
)
_NO_CIPHER: Final = (
    "the server refused the TLS handshake: it may require a client certificate, which certfile and"
    " keyfile in an amqps:// URL give, or it has no cipher in common with this program"
)
_CERTIFICATE_REQUIRED: Final = (
    "the server requires a client certificate: give certfile and keyfile in the query of an amqps://"
    " URL, or load them with load_cert_chain into the context that is passed as ssl"
)
_CERTIFICATE_REFUSED: Final = (
    "the server refused the client's certificate: it must be valid, and its authority among those"
    " that the server trusts"
)
_REASONS: Final = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_VERSION,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "VERSION_TOO_LOW": _NO_VERSION,
    "NO_PROTOCOLS_AVAILABLE": _NO_VERSION,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NO_CIPHER,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": _NO_CIPHER,
    "NO_SHARED_CIPHER": _NO_CIPHER,
    "NO_CIPHERS_AVAILABLE": _NO_CIPHER,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _CERTIFICATE_REQUIRED,
    "TLSV1_ALERT_UNKNOWN_CA": _CERTIFICATE_REFUSED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _CERTIFICATE_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _CERTIFICATE_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _CERTIFICATE_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _CERTIFICATE_REFUSED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _CERTIFICATE_REFUSED,
    "TLSV1_ALERT_ACCESS_DENIED": _CERTIFICATE_REFUSED,
    "TLSV1_ALERT_DECRYPT_ERROR": _CERTIFICATE_REFUSED,
    "TLSV1_UNRECOGNIZED_NAME": (
        "the server has no certificate for that name: give the name that it has with"
        " server_name_indication in the URL, or server_hostname"
    ),
}
"""What the reasons mean that OpenSSL has for an error."""

_UNKNOWN_AUTHORITY: Final = (
    "the certificate of the server is by an authority that this program does not trust: give the"
    " certificate of that authority with cacertfile in an amqps:// URL, or pass"
    " ssl=ssl.create_default_context(cafile=...)"
)
_WRONG_NAME: Final = (
    "the certificate of the server is for another host: connect to a name that is in it, or give"
    " that name with server_name_indication in the URL, or server_hostname"
)
_VERIFY_CODES: Final = {
    2: _UNKNOWN_AUTHORITY,
    9: "the certificate of the server is not valid yet: check the clocks of both hosts",
    10: "the certificate of the server has expired: renew it, or check the clocks of both hosts",
    18: _UNKNOWN_AUTHORITY,
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    23: "the certificate of the server has been revoked",
    62: _WRONG_NAME,
    64: _WRONG_NAME,
}
"""What the X509_V_ERR codes of OpenSSL mean."""

_ENDED: Final = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError)


def explain(error: OSError) -> str:
    """Return the text of an error that ended a TLS handshake, after what it means and its cure."""
    hint = None
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _VERIFY_CODES.get(error.verify_code)
    elif isinstance(error, _ENDED):
        hint = (
            "the server ended the link during the TLS handshake: it may not speak TLS on this port"
            " (use amqp:// and 5672 then), have no version of TLS from 1.2 on, or require a client"
            " certificate"
        )
    elif isinstance(error, ssl.SSLError):
        hint = _REASONS.get(error.reason or "")
    text = str(error) or type(error).__name__
    return text if hint is None else f"{hint} ({text})"
