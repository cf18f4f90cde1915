"""What the tests of this package share: brokers, and clients that know nothing by themselves."""

import pytest

from aioamqp_testing.model import Node, VirtualHost
from fake_broker_support import RABBITMQ_3_10, NotingChannel, SilentClient


@pytest.fixture
def vhost() -> VirtualHost:
    return Node(profile=RABBITMQ_3_10).vhosts["/"]


@pytest.fixture
def noting() -> NotingChannel:
    return NotingChannel()


@pytest.fixture
def client() -> SilentClient:
    """A connection with channels 1 and 2 open."""
    return SilentClient().open(1, 2)
