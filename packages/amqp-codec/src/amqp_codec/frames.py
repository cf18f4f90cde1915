"""The envelope around every payload. Spec: 4.2.3.

0      1         3             7                  size+7     size+8
+------+---------+-------------+  +------------+  +-----------+
| type | channel |     size    |  |  payload   |  | frame-end |
+------+---------+-------------+  +------------+  +-----------+
octet    short       long          size bytes        octet
"""

from typing import Final

from .protocol.constants import FRAME_END

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
"""The eight bytes that a client sends before any frame. Spec: 4.2.2."""

OVERHEAD: Final = 8
"""The number of bytes of a frame around its payload, which has at most frame-max - 8 bytes."""

PREFIX: Final = 7
"""The number of bytes of a frame before its payload."""

END: Final = bytes((FRAME_END,))
