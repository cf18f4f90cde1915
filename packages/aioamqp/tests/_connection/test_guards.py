"""A connection that is open when its event loop ends: it is aborted, with a ResourceWarning."""

import asyncio
import gc
import logging

import pytest

from scripted_server import ScriptedServer


def test_a_connection_that_is_open_when_the_loop_ends_is_aborted_with_a_warning(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    on_error: list[Exception] = []

    async def main() -> None:
        opened = await server.open_channel(on_error=on_error.append)
        await opened.basic_consume(print, "q")

    def collect() -> None:
        del server.transport  # the last reference to the connection
        gc.collect()

    asyncio.run(main())

    assert server.transport.was_aborted
    with pytest.warns(ResourceWarning, match=r"await protocol\.close\(\) before"):
        collect()
    assert on_error == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("by_server", [True, False])
def test_a_closed_connection_is_not_aborted_when_the_loop_ends(
    server: ScriptedServer, by_server: bool
) -> None:
    async def main() -> None:
        protocol = await server.connect()
        if by_server:
            server.transport.end(None)
            await protocol.wait_closed()
        else:
            await protocol.close()

    asyncio.run(main())
    gc.collect()

    assert not server.transport.was_aborted
