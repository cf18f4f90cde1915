"""The default dialer, over TCP on this machine, and where each dialer is used."""

import asyncio
import socket
import threading
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

import pytest

import aioamqp
from aioamqp.dial import current_dialer, dial_tcp


def test_nagle_s_algorithm_is_off() -> None:
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


async def dial_one(
    protocol_factory: Callable[[], Any],
    host: str,
    port: int | str,
    *,
    ssl: SSLContext | bool | None,
) -> tuple[asyncio.Transport, Any]:
    raise NotImplementedError


async def dial_two(
    protocol_factory: Callable[[], Any],
    host: str,
    port: int | str,
    *,
    ssl: SSLContext | bool | None,
) -> tuple[asyncio.Transport, Any]:
    raise NotImplementedError


def in_a_thread() -> list[aioamqp.Dialer]:
    seen: list[aioamqp.Dialer] = []
    thread = threading.Thread(target=lambda: seen.append(current_dialer()))
    thread.start()
    thread.join()
    return seen


def test_a_dialer_is_used_in_its_own_context_only() -> None:
    with aioamqp.dialing(dial_one):
        assert current_dialer() is dial_one
        assert in_a_thread() == [dial_tcp]

    assert current_dialer() is dial_tcp


def test_a_dialer_for_everywhere_is_used_in_earlier_tasks_and_in_threads() -> None:
    async def main() -> tuple[aioamqp.Dialer, list[aioamqp.Dialer]]:
        begin = asyncio.Event()

        async def wait() -> aioamqp.Dialer:
            await begin.wait()
            return current_dialer()

        waiting = asyncio.create_task(wait())
        with aioamqp.dialing(dial_one, everywhere=True):
            begin.set()
            return await waiting, in_a_thread()

    assert asyncio.run(main()) == (dial_one, [dial_one])
    assert current_dialer() is dial_tcp


def test_a_dialer_of_the_context_takes_precedence_over_one_for_everywhere() -> None:
    with aioamqp.dialing(dial_one), aioamqp.dialing(dial_two, everywhere=True):
        assert current_dialer() is dial_one
        assert in_a_thread() == [dial_two]


def test_blocks_for_everywhere_may_end_in_any_order() -> None:
    first = aioamqp.dialing(dial_one, everywhere=True)
    second = aioamqp.dialing(dial_two, everywhere=True)
    first.__enter__()
    second.__enter__()

    first.__exit__(None, None, None)
    assert current_dialer() is dial_two

    second.__exit__(None, None, None)
    assert current_dialer() is dial_tcp
