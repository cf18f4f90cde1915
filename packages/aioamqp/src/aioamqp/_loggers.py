"""The two loggers of the package, by the names that programs have configured since 0.15."""

import logging
from typing import Final

channel_logger: Final = logging.getLogger("aioamqp.channel")
"""Deliveries, returned messages and publisher confirms."""

protocol_logger: Final = logging.getLogger("aioamqp.protocol")
"""Connections, their debug log of frames, and callbacks that fail."""
