"""The envelope around every payload. Spec: 4.2.3.

0      1         3             7                  size+7     size+8
+------+---------+-------------+  +------------+  +-----------+
| type | channel |     size    |  |  payload   |  | frame-end |
+------+---------+-------------+  +------------+  +-----------+
octet    short       long         size octets        octet
"""

from typing import Final

from .protocol.constants import FRAME_END

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
"""The eight octets that a client sends before any frame. Spec: 4.2.2."""

OVERHEAD: Final = 8
"""Octets of a frame beside its payload: a payload has at most frame-max - 8."""

PREFIX: Final = 7
"""Octets of a frame before its payload."""

END: Final = bytes((FRAME_END,))
