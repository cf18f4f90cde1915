"""A FakeBroker in the place of RabbitMQ, for programs that connect by themselves."""

from contextlib import ExitStack
from types import TracebackType
from typing import Any

from .broker import FakeBroker
from .control.report import describe


class FakeBrokerContext:
    """A FakeBroker that all of aioamqp's connections of this process reach meanwhile.

    Args:
        broker: not in use yet.
    """

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self._seam = ExitStack()

    def __enter__(self) -> FakeBroker:
        import aioamqp

        self._seam.enter_context(aioamqp.dialing(self.broker.dial, everywhere=True))
        self.broker.open()
        return self.broker

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_value is not None:
            exc_value.add_note(describe(self.broker))  # as it is before everything is closed
        self._seam.close()
        self.broker.abandon()
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
        if exc_value is not None:
            exc_value.add_note(describe(self.broker))  # as it is before everything is closed
        self._seam.close()
        await self.broker.close()
        if exc_value is None:
            check(self.broker)


def fake_broker(**options: Any) -> FakeBrokerContext:
    """Let a FakeBroker stand in for RabbitMQ: until the end of the block, every connection that
    aioamqp makes in this process, to whatever host, reaches it in memory.

        with fake_broker() as broker:
            asyncio.run(program())

    It can be entered with ``with`` and with ``async with``, and so by ``enterContext`` and
    ``enterAsyncContext`` of unittest. With ``async with`` its connections are ended in good order
    on leaving; with ``with`` they are dropped, for which no event loop is needed. An exception
    that leaves the block gets a note on the state of the broker.

    Args:
        options: for FakeBroker.

    Raises:
        AssertionError: on leaving: the broker was asked for something that it cannot do yet, or a
            fault was set that never happened.
    """
    return FakeBrokerContext(FakeBroker(**options))


def check(broker: FakeBroker) -> None:
    """Make sure that the broker could do what it was asked for, and did what it was told.

    Raises:
        AssertionError: it could not, and has closed the connection with reply code 540.
        Exception: see ``FakeBroker.check``.
    """
    broker.check()
    if broker.refused:
        refused = "\n".join(f"  {what}" for what in broker.refused)
        raise AssertionError(
            "the fake broker was asked for what it cannot do yet, and has closed the connection"
            f" with reply code 540:\n{refused}\n"
            "If the test is about that, let it end with broker.refused.clear()."
        )
