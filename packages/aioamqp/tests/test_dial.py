"""The default dialer, over TCP on this machine, and where each dialer is used."""

import asyncio
import errno
import gc
import socket
import threading
from collections.abc import Callable
from ssl import SSLContext
from typing import Any
from unittest import mock

import pytest

import aioamqp
from aioamqp.dial import addresses_of, current_dialer, dial_tcp


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


def resolved_to(*addresses: str) -> Callable[..., Any]:
    """Return a getaddrinfo that finds these addresses for every host."""

    async def getaddrinfo(_host: str, port: int, **_options: object) -> list[Any]:
        return [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
            for address in addresses
            for family in (socket.AF_INET6 if ":" in address else socket.AF_INET,)
        ]

    return getaddrinfo


def test_an_address_that_does_not_answer_does_not_keep_from_the_next() -> None:
    """Row U7."""

    async def dial() -> str:
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect

        async def sock_connect(sock: socket.socket, address: Any) -> None:
            if address[0] == "127.0.0.2":
                await asyncio.Event().wait()  # its SYN is dropped
            await connect(sock, address)

        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with (
                mock.patch.object(loop, "sock_connect", sock_connect),
                mock.patch.object(loop, "getaddrinfo", resolved_to("127.0.0.2", "127.0.0.1")),
            ):
                async with asyncio.timeout(10):
                    transport, _ = await dial_tcp(asyncio.Protocol, "rabbit", port, ssl=None)
            peer: str = transport.get_extra_info("peername")[0]
            transport.abort()
            await asyncio.sleep(0)
        return peer

    assert asyncio.run(dial()) == "127.0.0.1"


def test_connecting_to_several_addresses_leaves_no_socket_when_it_is_cancelled() -> None:
    """Row U7. Warnings for sockets that are left open are errors."""

    async def dial() -> int:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        turns = 0
        async with server:
            port = server.sockets[0].getsockname()[1]
            addresses = resolved_to("127.0.0.1", "127.0.0.1", "127.0.0.1")
            with mock.patch.object(loop, "getaddrinfo", addresses):
                while True:
                    dialing = asyncio.create_task(
                        dial_tcp(asyncio.Protocol, "rabbit", port, ssl=None)
                    )
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    dialing.cancel()
                    await asyncio.wait({dialing})
                    if not dialing.cancelled():
                        break
                    turns += 1
            dialing.result()[0].abort()
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(dial()) > 2
    gc.collect()


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((errno.ECONNREFUSED, errno.ECONNREFUSED), ConnectionRefusedError),
        ((errno.ENETUNREACH, errno.ECONNREFUSED), ConnectionRefusedError),
        ((errno.ETIMEDOUT, errno.ETIMEDOUT), TimeoutError),
    ],
)
def test_a_host_none_of_whose_addresses_can_be_reached_keeps_the_errno(
    codes: tuple[int, ...], expected: type[OSError]
) -> None:
    """Row U7. It was an OSError without errno, "Multiple exceptions: ..."."""
    failures = dict(zip(("127.0.0.2", "127.0.0.3"), codes, strict=True))

    async def sock_connect(_sock: socket.socket, address: Any) -> None:
        raise OSError(failures[address[0]], f"Connect call failed {address}")

    async def connect() -> None:
        loop = asyncio.get_running_loop()
        with (
            mock.patch.object(loop, "sock_connect", sock_connect),
            mock.patch.object(loop, "getaddrinfo", resolved_to(*failures)),
        ):
            await aioamqp.connect("rabbit", 9)

    with pytest.raises(expected) as caught:
        asyncio.run(connect())

    assert isinstance(caught.value, aioamqp.ConnectionFailed)
    assert caught.value.errno == codes[-1]
    assert all(address in str(caught.value) for address in failures)


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


def addresses(host: str, *found: str | Exception) -> list[str]:
    """Return the addresses of a host that a resolver finds, or fails to find."""

    async def fail(*_: object, **__: object) -> None:
        assert isinstance(found[0], Exception)
        raise found[0]

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        is_failure = any(isinstance(each, Exception) for each in found)
        resolver = fail if is_failure else resolved_to(*map(str, found))
        with mock.patch.object(loop, "getaddrinfo", resolver):
            return await addresses_of(host, 5672)

    return asyncio.run(main())


def test_each_address_of_a_host_is_found_once() -> None:
    """R13. Every address of a name is tried."""
    assert addresses("rabbit", "127.0.0.1", "127.0.0.2", "127.0.0.1") == ["127.0.0.1", "127.0.0.2"]


def test_an_address_needs_no_resolver() -> None:
    assert addresses("127.0.0.9", OSError("not asked")) == ["127.0.0.9"]
    assert addresses("::1", OSError("not asked")) == ["::1"]


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("too long")])
def test_a_host_that_is_not_found_is_tried_by_its_name(error: Exception) -> None:
    assert addresses("nowhere", error) == ["nowhere"]


def test_another_dialer_resolves_names_itself() -> None:
    with aioamqp.dialing(dial_one):
        assert addresses("rabbit", "127.0.0.1") == ["rabbit"]
