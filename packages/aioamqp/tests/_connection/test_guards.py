"""A connection that is open when its event loop ends: it is aborted, with a ResourceWarning."""

import asyncio
import gc
import logging
from typing import Any

import pytest

from callbacks_seen import Gate
from scripted_server import ScriptedServer, wait_idle


def collect_connection(server: ScriptedServer, others: list[Any]) -> None:
    """Drop the last references to the connection; it warns that it was open."""

    def collect() -> None:
        del server.transport, others[:]
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"await protocol\.close\(\) before"):
        collect()


def test_a_connection_that_is_open_when_the_loop_ends_is_aborted_with_a_warning(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    on_error: list[Exception] = []

    async def main() -> None:
        opened = await server.open_channel(on_error=on_error.append)
        await opened.basic_consume(print, "q")

    asyncio.run(main())

    assert server.transport.was_aborted
    collect_connection(server, [])
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


@pytest.mark.parametrize("uses_callback", [True, False])
def test_messages_with_no_ack_that_wait_when_the_loop_ends_are_counted(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, uses_callback: bool
) -> None:
    """Row U32. No callback is called for the others either, which the server delivers again."""
    kept: list[Any] = []

    async def main() -> None:
        opened = await server.open_channel()
        kept.append(Gate())
        if uses_callback:
            await opened.basic_consume(kept[0], "q", "lost", no_ack=True)
        else:
            messages = opened.consume("q", consumer_tag="lost", no_ack=True)
            await messages.__aenter__()
            kept.append(messages)
        await opened.basic_consume(kept[0], "q", "acknowledged")
        server.deliver("lost", b"1", b"2", b"3")
        server.deliver("acknowledged", b"4", b"5")
        await wait_idle()

    asyncio.run(main())

    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    count = 2 if uses_callback else 3
    assert record.message.startswith(f"{count} messages that were delivered to consumer lost of")
    assert b"5" not in kept[0].bodies
    collect_connection(server, kept)


def test_what_is_left_of_a_large_message_is_written_when_the_loop_ends(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioamqp._connection.writer.MOST_IN_TURN", 1)
    body = bytes(4_000_000)

    async def main() -> None:
        opened = await server.open_channel()
        publish = asyncio.create_task(opened.basic_publish(body, "", "q"))
        await asyncio.sleep(0)
        assert not publish.done()
        assert server.published() == []

    asyncio.run(main())

    assert server.published() == [body]
    collect_connection(server, [])
