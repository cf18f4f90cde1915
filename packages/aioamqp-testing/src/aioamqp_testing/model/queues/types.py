"""The types of queues there are."""

from collections.abc import Mapping
from typing import Final

from .classic import ClassicQueue
from .queue import Queue
from .quorum import QuorumQueue
from .stream import Stream

QUEUE_TYPES: Final[Mapping[str, type[Queue]]] = {
    each.TYPE: each for each in (ClassicQueue, QuorumQueue, Stream)
}
"""By what x-queue-type calls them."""
