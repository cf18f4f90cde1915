"""The debug log: one line for each command, without bodies and secrets.

    > 1 queue.declare queue='orders' durable=True
    < 1 queue.declare-ok queue='orders' message_count=7 consumer_count=0
    < 1 basic.deliver consumer_tag='ctag1.5' delivery_tag=1 routing_key='orders' + 42 bytes

A line begins with the direction and the channel. Arguments that are empty or False are left out.
"""

from typing import Final

from amqp_codec import Method, connection

_SECRETS: Final[dict[type[Method], str]] = {
    connection.StartOk: "response",
    connection.Secure: "challenge",
    connection.SecureOk: "response",
    connection.UpdateSecret: "new_secret",
}


def format_command(channel: int, method: Method, body_size: int = 0) -> str:
    """Format a command as a line of the log, without its direction."""
    secret = _SECRETS.get(type(method))
    words = [str(channel), method.NAME]
    for name, _ in method.FIELDS:
        value = getattr(method, name)
        if name == secret:
            words.append(f"{name}=***")
        elif isinstance(value, int) and value is not False:
            words.append(f"{name}={True if value is True else int(value)}")
        elif value:
            words.append(f"{name}={value!r}")
    if method.HAS_CONTENT:
        words.append(f"+ {body_size} bytes")
    return " ".join(words)
