"""What is known of a server by the version that it says it has."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from amqp_codec.protocol.constants import FRAME_MIN_SIZE

MAX_MESSAGE_SIZE: Final = 512 * 1024 * 1024
"""Bytes that a body may have. RabbitMQ: max_message_size, which can be set no higher than this."""


@dataclass(frozen=True, slots=True)
class Server:
    """The limits of a server that are not negotiated.

    Attributes:
        name: product and version; empty if they are not known.
        max_message_size: bytes that the body of a published message may have by default.
        least_frame_max: bytes, the lowest ``frame_max`` that can be negotiated.
        cancels_late_consumers: whether it cancels a consumer that does not acknowledge in time,
            instead of closing the channel.
        limits_channels: whether ``basic_qos(connection_global=True)`` limits a channel by default,
            instead of each of its consumers.
    """

    name: str = ""
    max_message_size: int = MAX_MESSAGE_SIZE
    least_frame_max: int = FRAME_MIN_SIZE
    cancels_late_consumers: bool = False
    limits_channels: bool = True


UNKNOWN: Final = Server()

_3: Final = replace(UNKNOWN, max_message_size=128 * 1024 * 1024)
_4_0: Final = replace(_3, max_message_size=16 * 1024 * 1024)  # RabbitMQ: release notes of 4.0.1
_4_1: Final = replace(_4_0, least_frame_max=8192)  # RabbitMQ: release notes of 4.1.0
# RabbitMQ: release notes of 4.3.0
_4_3: Final = replace(_4_1, cancels_late_consumers=True, limits_channels=False)

_SINCE: Final = {(0, 0): _3, (4, 0): _4_0, (4, 1): _4_1, (4, 3): _4_3}
"""The facts of RabbitMQ, by the first version that they hold for."""


def server_of(properties: Mapping[str, Any]) -> Server:
    """Return what is known of a server by its server properties; ``UNKNOWN`` if that is nothing."""
    product, version = properties.get("product"), properties.get("version")
    found = re.match(r"(\d{1,4})\.(\d{1,4})", version) if isinstance(version, str) else None
    if product != "RabbitMQ" or found is None:
        return UNKNOWN
    number = int(found[1]), int(found[2])
    latest = max(since for since in _SINCE if since <= number)
    return replace(_SINCE[latest], name=f"RabbitMQ {version:.40}")
