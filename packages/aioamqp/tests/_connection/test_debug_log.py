"""The debug log, line by line."""

import pytest

from amqp_codec import HEARTBEAT, Command, Properties, basic
from scripted_server import ScriptedServer, wait_idle


@pytest.mark.asyncio
async def test_the_log_of_a_connection_reads_like_a_packet_trace(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="aioamqp.protocol")

    opened = await server.open_channel(heartbeat=0)
    await opened.basic_publish(b"confidential", "", "q", {"headers": {"token": "secret"}})
    server.send(Command(1, basic.Return(312, "NO_ROUTE", "", "q"), Properties(), b"confidential"))
    await wait_idle()
    await opened.protocol.close()

    shown = [line.split(" client_properties")[0] for line in caplog.messages if line[0] in "<>"]
    assert shown == [
        "> 0 protocol-header AMQP 0-0-9-1",
        "< 0 connection.start version_major=0 version_minor=9"
        " server_properties={'product': 'script'} mechanisms=b'PLAIN AMQPLAIN' locales=b'en_US'",
        "> 0 connection.start-ok",
        "< 0 connection.tune channel_max=2047 frame_max=131072 heartbeat=60",
        "> 0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0",
        "> 0 connection.open virtual_host='/'",
        "< 0 connection.open-ok",
        "> 1 channel.open",
        "< 1 channel.open-ok",
        "> 1 basic.publish routing_key='q' + 12 bytes",
        "< 1 basic.return reply_code=312 reply_text='NO_ROUTE' routing_key='q' + 12 bytes",
        "> 0 connection.close reply_code=200 reply_text='Normal Shutdown' class_id=0 method_id=0",
        "< 0 connection.close-ok",
    ]
    assert "confidential" not in caplog.text


@pytest.mark.asyncio
async def test_heartbeats_are_in_the_log(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="aioamqp.protocol")
    protocol = await server.connect(heartbeat=10)
    caplog.clear()

    server.send(Command(0, HEARTBEAT))
    await wait_idle()
    await protocol.send_heartbeat()
    assert caplog.messages == ["< 0 heartbeat", "> 0 heartbeat"]

    await protocol.close()


@pytest.mark.asyncio
async def test_a_publish_is_in_the_debug_log_without_its_body(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="aioamqp.protocol"):
        opened = await server.open_channel()
        await opened.basic_publish(b"confidential", "ex", "key")
        await opened.protocol.close()

    (line,) = [text for text in caplog.messages if "basic.publish" in text]
    assert line.startswith("> 1 ")
    assert line.endswith("+ 12 bytes")
    assert "confidential" not in caplog.text


@pytest.mark.asyncio
async def test_nothing_is_logged_at_debug_unless_it_was_on_from_the_start(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="aioamqp.protocol"):
        opened = await server.open_channel()
    caplog.set_level("DEBUG", logger="aioamqp.protocol")

    await opened.basic_publish(b"", "ex", "key")
    await opened.protocol.close()

    assert caplog.messages == []
