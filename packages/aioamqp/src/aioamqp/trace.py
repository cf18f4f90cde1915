"""One line a command for the debug log, without bodies and secrets."""

from typing import Final

from amqp_codec import Method, connection

_SECRETS: Final[dict[type[Method], str]] = {
    connection.StartOk: "response",
    connection.SecureOk: "response",
    connection.UpdateSecret: "new_secret",
}


def describe(channel: int, method: Method, body_size: int = 0) -> str:
    """Describe a command in one line."""
    secret = _SECRETS.get(type(method))
    if secret is None:
        arguments = repr(method)
    else:
        fields = (name for name, _ in method.FIELDS)
        values = (
            f"{name}=***" if name == secret else f"{name}={getattr(method, name)!r}"
            for name in fields
        )
        arguments = f"{method.NAME}({', '.join(values)})"
    content = f" + {body_size} octets" if method.HAS_CONTENT else ""
    return f"{channel} {arguments}{content}"
