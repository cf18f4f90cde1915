"""fake_broker(): a FakeBroker in place of RabbitMQ, for programs that connect by themselves."""

from contextlib import ExitStack
from types import TracebackType
from typing import Any

from .broker import FakeBroker
from .control.inspection import describe


class FakeBrokerContext:
    """A FakeBroker that receives all of aioamqp's connections in this process while it is entered.

    Args:
        broker: a new broker.
    """

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self._dialing = ExitStack()

    def __enter__(self) -> FakeBroker:
        import aioamqp

        self._dialing.enter_context(aioamqp.dialing(self.broker.dial, everywhere=True))
        self.broker.open()
        return self.broker

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(exc_value)
        self.broker.abort()
        if exc_value is None:
            check(self.broker)

    async def __aenter__(self) -> FakeBroker:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(exc_value)
        await self.broker.close()
        if exc_value is None:
            check(self.broker)

    def _leave(self, error: BaseException | None) -> None:
        if error is not None:
            error.add_note(describe(self.broker))  # the state before the broker is closed
        self._dialing.close()


def fake_broker(**options: Any) -> FakeBrokerContext:
    """Replace RabbitMQ by a FakeBroker: until the end of the block, every connection that aioamqp
    makes in this process, to any host, reaches the FakeBroker in memory.

        with fake_broker() as broker:
            asyncio.run(program())

    It works with ``with`` and with ``async with``, and so with ``enterContext`` and
    ``enterAsyncContext`` of unittest. ``async with`` closes the connections on leaving; ``with``
    drops them, which needs no event loop. An exception that leaves the block gets a note with the
    state of the broker.

    Args:
        options: the arguments of FakeBroker.

    Raises:
        AssertionError: on leaving: a client used something that the broker does not support yet, or
            a fault was added but not triggered.
    """
    return FakeBrokerContext(FakeBroker(**options))


def check(broker: FakeBroker) -> None:
    """Check that clients used only what the broker supports, and call ``FakeBroker.check``.

    Raises:
        AssertionError: the broker has refused something with reply code 540.
        Exception: see ``FakeBroker.check``.
    """
    broker.check()
    if broker.refused:
        refused = "\n".join(f"  {what}" for what in broker.refused)
        raise AssertionError(
            "a client used something that the fake broker does not support yet; its connection was"
            f" closed with reply code 540:\n{refused}\n"
            "If the test is about this, call broker.refused.clear() at its end."
        )
