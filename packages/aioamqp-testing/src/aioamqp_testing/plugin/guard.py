"""Refusal of connections to real brokers, for a test run that must not reach any."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import aioamqp
from aioamqp.dial import dial_tcp

from ..broker import is_listening


class RealConnectionForbidden(RuntimeError):
    """A test has opened a connection that does not go to a fake broker.

    It is not an OSError, so that programs do not try to connect again.
    """


class Guard:
    """The dialer of a test run that must not reach a real broker.

    Attributes:
        refused: the errors that it has raised since the list was cleared.
    """

    def __init__(self) -> None:
        self.refused: list[RealConnectionForbidden] = []

    async def dial(
        self,
        protocol_factory: Callable[[], Any],
        host: str,
        port: int | str,
        *,
        ssl: Any,
        server_hostname: str | None = None,
    ) -> tuple[asyncio.Transport, Any]:
        """Connect to a fake broker that listens in this process.

        Raises:
            RealConnectionForbidden: there is none at this address.
        """
        if not is_listening(host, port):
            self.refused.append(
                RealConnectionForbidden(
                    f"the test has opened a connection to {host}:{port}, and amqp_forbid_real"
                    " forbids connections to real brokers in this test run: request the fixture"
                    " amqp_broker in the test, or open the connection inside `with fake_broker():`"
                )
            )
            raise self.refused[-1]
        return await dial_tcp(
            protocol_factory, host, port, ssl=ssl, server_hostname=server_hostname
        )

    @contextmanager
    def active(self) -> Generator[None]:
        """Refuse connections of the whole process to real brokers until the end of the block."""
        with aioamqp.dialing(self.dial, everywhere=True):
            yield
