"""Defects of 0.15 in publishing: D11, D12, D19 and D22."""

import array
import asyncio
from typing import Any

import pytest

import aioamqp
from aioamqp.channel import Channel
from amqp_codec import Command, Properties, basic, confirm, connection
from tests.compat.defects.scripted_tcp import (
    ScriptedServer,
    frames,
    logged,
    outcomes,
    publish_until_paused,
    result_of,
    wait_idle,
)

fails_on_0_15 = pytest.mark.fails_on_0_15
pytestmark = pytest.mark.asyncio


async def confirming(server: ScriptedServer) -> Channel:
    opened = await server.open_channel()
    await result_of(opened.confirm_select())
    server.clear()
    return opened


def start_publishing(opened: Channel, *bodies: bytes) -> list[asyncio.Future[None]]:
    return [asyncio.ensure_future(opened.publish(body, "", "q")) for body in bodies]


# ---------------------------------------------------------------- D11


@fails_on_0_15("waits forever")
async def test_an_ack_with_multiple_confirms_all_tags_up_to_it(server: ScriptedServer) -> None:
    """D11, R1."""
    opened = await confirming(server)
    tasks = start_publishing(opened, b"one", b"two", b"three", b"four")
    await server.wait_for(basic.Publish, 4)
    server.send(basic.Ack(2), basic.Ack(3, multiple=True))
    assert await outcomes(*tasks[:3]) == [None] * 3
    assert not tasks[3].done()
    server.send(basic.Ack(4))
    assert await outcomes(*tasks) == [None] * 4


@fails_on_0_15("waits forever")
async def test_a_nack_with_multiple_fails_all_tags_up_to_it(server: ScriptedServer) -> None:
    """D11, R1."""
    opened = await confirming(server)
    tasks = start_publishing(opened, b"one", b"two", b"three")
    await server.wait_for(basic.Publish, 3)
    server.send(basic.Ack(1), basic.Nack(3, multiple=True))
    first, *rest = await outcomes(*tasks)
    assert first is None
    assert [(type(error), error.delivery_tag) for error in rest] == [
        (aioamqp.PublishFailed, 2),
        (aioamqp.PublishFailed, 3),
    ]


@fails_on_0_15("waits forever")
async def test_an_ack_of_tag_0_with_multiple_confirms_everything(
    server: ScriptedServer,
) -> None:
    """D11, R2. Spec: basic.ack."""
    opened = await confirming(server)
    tasks = start_publishing(opened, b"one", b"two")
    await server.wait_for(basic.Publish, 2)
    server.send(basic.Ack(0, multiple=True))
    assert await outcomes(*tasks) == [None, None]


@fails_on_0_15("DID NOT RAISE")
async def test_basic_publish_takes_a_delivery_tag_too(server: ScriptedServer) -> None:
    """D11."""
    opened = await confirming(server)
    await result_of(opened.basic_publish(b"one", "", "q"))
    (second,) = start_publishing(opened, b"two")
    await server.wait_for(basic.Publish, 2)
    server.send(basic.Ack(1), basic.Nack(2))
    with pytest.raises(aioamqp.PublishFailed) as failed:
        await result_of(second)
    assert failed.value.delivery_tag == 2


@fails_on_0_15("assert False")
async def test_confirm_mode_is_on_after_confirm_select_with_no_wait(
    server: ScriptedServer,
) -> None:
    """D11."""
    opened = await server.open_channel()
    await result_of(opened.confirm_select(no_wait=True))
    assert opened.publisher_confirms
    server.answers[basic.Publish] = lambda _: basic.Nack(1)
    with pytest.raises(aioamqp.PublishFailed):
        await result_of(opened.publish(b"one", "", "q"))


@fails_on_0_15("waits forever")
async def test_a_message_that_cannot_be_sent_takes_no_delivery_tag(server: ScriptedServer) -> None:
    """D11, R20."""
    opened = await confirming(server)
    with pytest.raises((TypeError, ValueError)):
        await result_of(opened.publish(b"one", "", "k" * 256))
    server.answers[basic.Publish] = lambda _: basic.Ack(1)
    await result_of(opened.publish(b"two", "", "q"))


@fails_on_0_15("error on dispatch")
async def test_a_late_ack_of_a_cancelled_publish_is_not_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D11, R21."""
    opened = await confirming(server)
    first, second = start_publishing(opened, b"one", b"two")
    await server.wait_for(basic.Publish, 2)
    first.cancel()
    await asyncio.wait({first})
    server.send(basic.Ack(1), basic.Ack(2))
    await result_of(second)
    assert logged(caplog) == []


@fails_on_0_15("SynchronizationError")
async def test_concurrent_confirm_selects_send_one_request(server: ScriptedServer) -> None:
    """D11. The second call raises ValueError, as every later call does."""
    opened = await server.open_channel()
    first, second = await outcomes(opened.confirm_select(), opened.confirm_select())
    assert first is True
    assert isinstance(second, ValueError), repr(second)
    assert len(server.methods(confirm.Select)) == 1


# ---------------------------------------------------------------- D12


@fails_on_0_15("assert 4104 <= 4096")
async def test_no_frame_is_larger_than_frame_max(server: ScriptedServer) -> None:
    """D12."""
    opened = await server.open_channel(frame_max=4096)
    await result_of(opened.basic_publish(bytes(10_000), "", "q"))
    await server.wait_until(lambda: bool(server.received))
    assert max(len(frame) for frame in frames(bytes(server.data))) <= 4096
    assert len(server.received[0].body) == 10_000


@fails_on_0_15("range() arg 3 must not be zero")
async def test_an_empty_message_can_be_sent_with_a_frame_max_of_0(
    server: ScriptedServer,
) -> None:
    """D12."""
    server.answers[connection.StartOk] = lambda _: connection.Tune(2047, 0, 0)
    opened = await server.open_channel()
    await result_of(opened.basic_publish(b"", "", "q"))
    await server.wait_for(basic.Publish)
    assert server.received[0].body == b""


@fails_on_0_15("waits forever")
async def test_the_size_of_a_body_is_counted_in_bytes(server: ScriptedServer) -> None:
    """D12."""
    opened = await server.open_channel()
    numbers = array.array("I", range(100))
    await result_of(opened.basic_publish(memoryview(numbers), "", "q"))
    await server.wait_for(basic.Publish)
    assert server.received[0].body == numbers.tobytes()


# ---------------------------------------------------------------- D19


@fails_on_0_15("'NoneType' object has no attribute")
async def test_waiting_publishers_fail_when_the_connection_is_lost(
    server: ScriptedServer,
) -> None:
    """D19."""
    opened = await server.open_channel()
    server.transport.pause_reading()
    filling = asyncio.ensure_future(publish_until_paused(opened))
    await wait_idle()
    waiting = [asyncio.ensure_future(opened.basic_publish(b"x", "", "q")) for _ in range(3)]
    await wait_idle()
    server.reset()
    for error in await outcomes(*waiting):
        if not isinstance(error, (aioamqp.AmqpClosedConnection, OSError)):
            raise error
    await filling


# ---------------------------------------------------------------- D22


UNSENDABLE: dict[str, tuple[Any, dict[str, Any]]] = {
    "unknown property": (b"", {"no_such_property": 1}),
    "property of a wrong type": (b"", {"priority": "high"}),
    "property that is too long": (b"", {"correlation_id": "x" * 256}),
    "header": (b"", {"headers": {"key": object()}}),
}
UNSENDABLE_BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "no body": (None, {}),
    "number": (7, {}),
}


@fails_on_0_15("waits forever")
@pytest.mark.parametrize(
    ("call", "payload", "properties"),
    [
        *(
            pytest.param("basic_publish", *args, id=f"basic {id}")
            for id, args in UNSENDABLE.items()
        ),
        *(
            pytest.param("publish", *args, id=id)
            for id, args in (UNSENDABLE | UNSENDABLE_BODIES).items()
        ),
    ],
)
async def test_a_message_that_cannot_be_encoded_is_not_sent_in_part(
    server: ScriptedServer, call: str, payload: Any, properties: dict[str, Any]
) -> None:
    """D22, R20."""
    opened = await server.open_channel()
    with pytest.raises((TypeError, ValueError)):
        await result_of(getattr(opened, call)(payload, "", "q", properties))
    await result_of(getattr(opened, call)(b"good", "", "q"))
    method = await server.wait_for(basic.Publish)
    assert server.received == [Command(1, method, Properties(), b"good")]
    assert opened.is_open
