"""The default dialer, over TCP on this machine."""

import asyncio
import socket

import pytest

import aioamqp
from aioamqp.dial import dial_tcp


def test_small_writes_are_not_held_back_by_tcp() -> None:
    async def dial() -> int:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            transport, _ = await dial_tcp(asyncio.Protocol, "127.0.0.1", port, ssl=None)
            link = transport.get_extra_info("socket")
            nodelay = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            transport.abort()
            await asyncio.sleep(0)
        return int(nodelay)

    assert asyncio.run(dial()) != 0


def test_a_port_where_nobody_listens_refuses_the_connection() -> None:
    async def connect(port: int) -> None:
        await aioamqp.connect("127.0.0.1", port)

    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(aioamqp.ConnectionFailed, match=f"127.0.0.1:{port}") as caught:
            asyncio.run(connect(port))

    assert isinstance(caught.value, ConnectionRefusedError)
