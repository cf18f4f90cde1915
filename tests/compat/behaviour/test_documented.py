"""Section 3 of the contract with aioamqp 0.15: mismatches of its documentation and its code."""

import asyncio
import inspect
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

import aioamqp
from amqp_codec import Method, basic, connection, exchange, queue
from callbacks_seen import Gate, Recorder
from scripted_server import ANSWERS, ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect
from tests.compat.behaviour.rpcs import RPCS, Rpc, name_of

pytestmark = pytest.mark.asyncio

P = TypeVar("P", bound=asyncio.BaseProtocol)

PUBLISHES = pytest.mark.parametrize("name", ["publish", "basic_publish"])


async def published(server: ScriptedServer) -> list[tuple[Method, bytes]]:
    await wait_idle()
    return [(command.method, bytes(command.body)) for command in server.received]


# ---------------------------------------------------------------------------- publishing


async def test_basic_publish_takes_a_string_and_sends_it_as_utf_8(server: ScriptedServer) -> None:
    """M1. As in the tutorials: hello world, work queues, fanout and RPC."""
    opened = await server.open_channel()

    await opened.basic_publish(
        payload="Hello Wörld!", exchange_name="", routing_key="hello"
    )  # without a warning: warnings are errors in tests

    assert await published(server) == [(basic.Publish("", "hello"), "Hello Wörld!".encode())]
    await opened.protocol.close()


@PUBLISHES
@pytest.mark.parametrize("payload", [None, 5, [b"m"], {"a": 1}, object()])
async def test_a_payload_of_another_type_is_a_value_error_before_anything_is_written(
    server: ScriptedServer, name: str, payload: Any
) -> None:
    """M1."""
    opened = await server.open_channel()

    with pytest.raises(ValueError, match=r"payload|body"):
        await getattr(opened, name)(payload, "", "hello")

    assert await published(server) == []
    assert server.transport.writes == []
    await opened.protocol.close()


async def test_publish_takes_a_string_with_a_deprecation_warning(server: ScriptedServer) -> None:
    """M2."""
    opened = await server.open_channel()

    with pytest.warns(DeprecationWarning, match="encode") as warned:
        await opened.publish("aioamqp hello", "", "my_queue")

    assert [warning.filename for warning in warned] == [__file__]
    assert await published(server) == [(basic.Publish("", "my_queue"), b"aioamqp hello")]
    await opened.protocol.close()


@PUBLISHES
async def test_exchange_and_body_are_aliases_of_exchange_name_and_payload(
    server: ScriptedServer, name: str
) -> None:
    """M3. As in the RPC client of the tutorial."""
    opened = await server.open_channel()

    await getattr(opened, name)(
        exchange="ex", routing_key="rpc_queue", properties={"reply_to": "r"}, body=b"30"
    )

    assert await published(server) == [(basic.Publish("ex", "rpc_queue"), b"30")]
    assert server.received[0].properties is not None
    assert server.received[0].properties.reply_to == "r"
    parameters = inspect.signature(getattr(aioamqp.Channel, name)).parameters
    assert list(parameters)[1:4] == ["payload", "exchange_name", "routing_key"]
    assert {parameters[each].kind for each in ("exchange", "body")} == {
        inspect.Parameter.KEYWORD_ONLY
    }
    await opened.protocol.close()


@PUBLISHES
@pytest.mark.parametrize(
    "both",
    [
        {"payload": b"m", "exchange_name": "", "exchange": ""},
        {"payload": b"m", "exchange_name": "", "body": b"m"},
    ],
)
async def test_passing_an_argument_under_both_names_is_a_type_error(
    server: ScriptedServer, name: str, both: dict[str, Any]
) -> None:
    """M3."""
    opened = await server.open_channel()

    with pytest.raises(TypeError, match="give one of them"):
        await getattr(opened, name)(routing_key="q", **both)

    assert await published(server) == []
    await opened.protocol.close()


@PUBLISHES
async def test_publishing_is_a_coroutine_function_that_can_be_made_a_task(
    server: ScriptedServer, name: str
) -> None:
    """M4."""
    opened = await server.open_channel()
    call = getattr(opened, name)

    assert inspect.iscoroutinefunction(call)
    await asyncio.create_task(call(b"m", "", "q"))

    assert await published(server) == [(basic.Publish("", "q"), b"m")]
    await opened.protocol.close()


async def test_the_result_of_publish_is_none_and_not_awaitable(server: ScriptedServer) -> None:
    """M5. The old documentation awaited it twice; the message had been sent when that failed."""
    opened = await server.open_channel()

    assert await opened.publish(b"m", "", "q") is None  # type: ignore[func-returns-value]

    assert await published(server) == [(basic.Publish("", "q"), b"m")]
    await opened.protocol.close()


# ---------------------------------------------------------------------------- declaring


async def test_an_exchange_is_direct_unless_its_type_is_given(server: ScriptedServer) -> None:
    """M6."""
    opened = await server.open_channel()

    assert await opened.exchange_declare(exchange_name="exchange") is True
    assert await opened.exchange_declare(exchange_name="exchange", auto_delete=True) is True

    assert server.methods(exchange.Declare) == [
        exchange.Declare("exchange", "direct"),
        exchange.Declare("exchange", "direct", auto_delete=True),
    ]
    await opened.protocol.close()


@pytest.mark.parametrize("rpc", RPCS, ids=name_of)
async def test_every_call_with_a_reply_takes_a_timeout(server: ScriptedServer, rpc: Rpc) -> None:
    """M7. The next call gets its own reply, not the late one."""
    parameter = inspect.signature(getattr(aioamqp.Channel, rpc.name)).parameters["timeout"]
    assert (parameter.kind, parameter.default) == (inspect.Parameter.KEYWORD_ONLY, None)
    opened = await server.open_channel()
    server.mute(rpc.sends)
    loop = asyncio.get_running_loop()
    started = loop.time()

    with pytest.raises(asyncio.TimeoutError):
        await rpc.call(opened, timeout=5)

    assert loop.time() - started == pytest.approx(5)
    (given_up,) = server.methods(rpc.sends)
    server.answers[rpc.sends] = ANSWERS[rpc.sends]
    again = asyncio.create_task(rpc.call(opened, timeout=5))
    server.send(ANSWERS[rpc.sends](given_up) or b"")
    assert await again == (ValueError if rpc.name == "confirm_select" else rpc.returns)
    assert opened.is_open
    await opened.protocol.close()


async def test_opening_and_closing_a_channel_take_a_timeout(server: ScriptedServer) -> None:
    """M7."""
    opened = await server.open_channel()
    server.mute()

    for call in (opened.open, opened.close):
        with pytest.raises(TimeoutError):
            await call(timeout=5)
    server.answers[connection.Close] = ANSWERS[connection.Close]
    await opened.protocol.close()


# ---------------------------------------------------------------------------- connecting


async def test_connect_and_the_protocol_take_the_running_loop(server: ScriptedServer) -> None:
    """M8."""
    loop = asyncio.get_running_loop()

    protocol = await server.connect(loop=loop)
    assert isinstance(aioamqp.AmqpProtocol(loop=loop), aioamqp.AmqpProtocol)
    await protocol.close()
    protocol = await server.connect(loop=None)
    await protocol.close()


async def test_a_loop_other_than_the_running_one_raises_wrong_loop_with_a_hint(
    server: ScriptedServer,
) -> None:
    """M8. 0.15 ignored the argument, so the connection used another loop than requested."""
    other = asyncio.new_event_loop()
    other.close()

    with aioamqp.dialing(server.dial):
        for connecting in (
            aioamqp.connect(loop=other),
            aioamqp.from_url("amqp://localhost", loop=other),
        ):
            with pytest.raises(aioamqp.WrongLoop, match=r"loop.*run_coroutine_threadsafe"):
                await connecting

    assert not hasattr(server, "transport")


async def test_a_program_connects_in_the_loop_of_another_thread() -> None:
    """M8. The documented use of ``connect(loop=...)``, with asyncio.run_coroutine_threadsafe."""
    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    server = ScriptedServer()

    async def session() -> asyncio.AbstractEventLoop:
        protocol = await server.connect(loop=other)
        await protocol.close()
        return asyncio.get_running_loop()

    try:
        ran_in = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(session(), other))
    finally:
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()

    assert ran_in is other


async def dialed(server: ScriptedServer, connect: Callable[[], Awaitable[Any]]) -> Any:
    """Return the ``ssl`` argument with which a dialer is called."""
    given: list[Any] = []

    async def dial(
        protocol_factory: Callable[[], P], host: str, port: int | str, *, ssl: Any
    ) -> tuple[asyncio.Transport, P]:
        given.append(ssl)
        return await server.dial(protocol_factory, host, port, ssl=ssl)

    with aioamqp.dialing(dial):
        _, protocol = await connect()
    await protocol.close()
    return given[0]


@pytest.mark.parametrize(
    "connect",
    [
        lambda: aioamqp.connect(ssl=True, verify_ssl=False),
        lambda: aioamqp.from_url("amqps://host", verify_ssl=False),
        lambda: aioamqp.from_url("amqps://host", ssl=True, verify_ssl=False),
    ],
)
async def test_verify_ssl_false_switches_verification_off_with_a_warning(
    server: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    connect: Callable[[], Awaitable[Any]],
) -> None:
    """M8."""
    context = await dialed(server, connect)

    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "without verification" in record.getMessage()


async def test_verify_ssl_does_not_change_an_explicit_context(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """M8."""
    context = ssl.create_default_context()

    used = await dialed(server, lambda: aioamqp.connect(ssl=context, verify_ssl=False))

    assert used is context
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert caplog.records == []


@pytest.mark.parametrize("given", [None, False, True, ssl.create_default_context()])
async def test_ssl_is_a_bool_or_a_context(
    server: ScriptedServer, given: ssl.SSLContext | bool | None
) -> None:
    """M9."""
    assert await dialed(server, lambda: aioamqp.connect(ssl=given)) is given


# ---------------------------------------------------------------------------- queues


async def test_queue_unbind_with_no_wait_returns_before_unbind_ok(
    server: ScriptedServer,
) -> None:
    """M10."""
    opened = await server.open_channel()
    server.mute(queue.Unbind, queue.Declare)

    assert await opened.queue_unbind("q", "e", "k", no_wait=True) is None
    declaring = asyncio.create_task(opened.queue_declare("q"))
    await asyncio.sleep(0)
    server.send(queue.UnbindOk())
    server.send(queue.DeclareOk("q", 0, 0))

    assert (await declaring)["queue"] == "q"
    assert server.methods(queue.Unbind) == [queue.Unbind("q", "e", "k")]
    await opened.protocol.close()


async def test_queue_delete_takes_arguments_and_ignores_them(server: ScriptedServer) -> None:
    """M11."""
    opened = await server.open_channel()

    assert await opened.queue_delete("q", arguments={"x": 1}) is True

    assert server.methods(queue.Delete) == [queue.Delete("q")]
    await opened.protocol.close()


async def test_exchange_declare_returns_true(connect: Connect) -> None:
    """M12."""
    opened = await (await connect()).channel()

    assert await opened.exchange_declare("amq.direct", "direct", passive=True) is True


async def test_queue_declare_returns_a_dict_or_none_with_no_wait(connect: Connect) -> None:
    """M13."""
    opened = await (await connect()).channel()
    name = (await opened.queue_declare(exclusive=True))["queue"]
    await opened.confirm_select()
    await opened.publish(b"m", "", name)

    assert await opened.queue_declare(name, passive=True, no_wait=True) is None
    assert await opened.queue_declare(name, passive=True) == {
        "queue": name,
        "message_count": 1,
        "consumer_count": 0,
    }


async def test_queue_purge_takes_a_timeout(connect: Connect) -> None:
    """M14."""
    opened = await (await connect()).channel()
    name = (await opened.queue_declare(exclusive=True))["queue"]
    await opened.basic_publish(b"m", "", name)

    assert await opened.queue_purge(name, no_wait=False, timeout=10) == {"message_count": 1}


async def test_exchange_declare_has_no_internal_flag(server: ScriptedServer) -> None:
    """M15."""
    opened = await server.open_channel()

    with pytest.raises(TypeError, match="internal"):
        await opened.exchange_declare("e", "direct", internal=True)  # type: ignore[call-arg]

    await opened.protocol.close()


# ---------------------------------------------------------------------------- callbacks


async def test_a_cancellation_callback_may_be_a_plain_function(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """M16."""
    calls: list[tuple[Any, str]] = []
    opened = await server.open_channel()
    opened.add_cancellation_callback(lambda given, tag: calls.append((given, tag)))

    server.send(basic.Cancel("tag", no_wait=True))
    await wait_idle()

    assert calls == [(opened, "tag")]
    assert caplog.records == []
    await opened.protocol.close()


async def test_a_cancellation_callback_may_consume_again(connect: Connect) -> None:
    """M16."""
    protocol = await connect()
    opened, other = await protocol.channel(), await protocol.channel()
    name = "compat-m16"
    bodies: asyncio.Queue[bytes] = asyncio.Queue()

    async def consumer(_: object, body: bytes, *__: object) -> None:
        bodies.put_nowait(body)

    async def consumer_cancelled(channel: aioamqp.Channel, consumer_tag: str) -> None:
        await channel.queue_declare(name, exclusive=True)
        await channel.basic_consume(consumer, name, consumer_tag)
        await channel.basic_publish(b"after", "", name)

    opened.add_cancellation_callback(consumer_cancelled)
    await opened.queue_declare(name, exclusive=True)
    await opened.basic_consume(consumer, name, "tag")
    await other.queue_delete(name)

    assert await bodies.get() == b"after"
    assert opened.is_open


async def test_a_cancellation_callback_may_close_its_channel(connect: Connect) -> None:
    """M16."""
    protocol = await connect()
    opened, other = await protocol.channel(), await protocol.channel()
    closed = asyncio.Event()

    async def consumer_cancelled(channel: aioamqp.Channel, _: str) -> None:
        await channel.close()
        closed.set()

    opened.add_cancellation_callback(consumer_cancelled)
    name = (await opened.queue_declare(exclusive=True))["queue"]
    await opened.basic_consume(Recorder(), name)
    await other.queue_delete(name)

    await closed.wait()
    assert not opened.is_open
    assert other.is_open


@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_on_error_is_called_once_with_an_exception_and_not_for_a_clean_close(
    server: ScriptedServer, is_coroutine: bool
) -> None:
    """M17."""
    errors: list[Exception] = []

    async def error_callback(exception: Exception) -> None:
        errors.append(exception)

    on_error = error_callback if is_coroutine else errors.append
    await (await server.connect(on_error=on_error)).close()
    await wait_idle()
    assert errors == []

    await server.connect(on_error=on_error)
    server.send(connection.Close(320, "CONNECTION_FORCED"), channel=0)
    await wait_idle()

    (error,) = errors
    assert isinstance(error, aioamqp.ChannelClosed)
    assert (error.code, error.message) == (320, "CONNECTION_FORCED")


async def test_an_unknown_host_raises_amqp_closed_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """M18. It is also the socket.gaierror and the OSError that programs catch."""
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        raise unknown

    errors: list[Exception] = []

    async def error_callback(exception: Exception) -> None:
        errors.append(exception)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(aioamqp.AmqpClosedConnection, match="Name or service not known") as raised:
        await aioamqp.connect(
            host="nonexistant.com",
            on_error=error_callback,
            client_properties={"program_name": "test", "hostname": socket.gethostname()},
        )

    assert isinstance(raised.value, socket.gaierror)
    assert isinstance(raised.value, OSError)
    assert (raised.value.errno, raised.value.args) == (unknown.errno, unknown.args)
    assert errors == []  # on_error is only for open connections


async def test_a_refused_connection_raises_amqp_closed_connection() -> None:
    """M19."""
    with socket.socket() as bound:  # but not listening
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(aioamqp.AmqpClosedConnection) as raised:
            await aioamqp.connect("127.0.0.1", bound.getsockname()[1])

    assert isinstance(raised.value, ConnectionRefusedError)


async def test_the_server_generates_the_name_of_a_queue_without_a_name(connect: Connect) -> None:
    """M20."""
    opened = await (await connect()).channel()

    result = await opened.queue_declare(queue_name="", exclusive=True)

    assert result["queue"].startswith("amq.gen-")


async def test_start_connection_opens_a_connection_over_an_existing_transport(
    server: ScriptedServer,
) -> None:
    """M22."""
    _, protocol = await server.dial(aioamqp.AmqpProtocol, "host", 5672, ssl=None)

    await protocol.start_connection(
        "host", 5672, "login", "password", "v", ssl=False, login_method="PLAIN", insist=False
    )

    assert protocol.is_open
    assert server.methods(connection.Open) == [connection.Open("v")]
    await protocol.close()


@pytest.mark.parametrize("key", ["type", "message_type"])
async def test_the_type_property_is_set_by_either_name_and_read_as_message_type(
    connect: Connect, key: str
) -> None:
    """M23."""
    opened = await (await connect()).channel()
    name = (await opened.queue_declare(exclusive=True))["queue"]

    await opened.publish(b"", "", name, {key: "order"})

    properties = (await opened.basic_get(name, no_ack=True))["properties"]
    assert properties.message_type == "order"
    assert not hasattr(properties, "type")


async def test_a_consumer_may_be_a_plain_function(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """M24."""
    bodies: list[bytes] = []
    opened = await server.open_channel()
    await opened.basic_consume(lambda _, body, *__: bodies.append(body), "q", "tag")

    server.deliver("tag", b"1", b"2")
    await wait_idle()

    assert bodies == [b"1", b"2"]
    assert caplog.records == []
    await opened.protocol.close()


async def test_consumers_can_be_cancelled_concurrently(connect: Connect) -> None:
    """M25. Also with the same tag, and from another channel as in 0.15's own test."""
    protocol = await connect()
    opened, other = await protocol.channel(), await protocol.channel()
    name = (await opened.queue_declare(exclusive=True))["queue"]
    tags = [(await opened.basic_consume(None, name))["consumer_tag"] for _ in range(3)]

    cancelled = await asyncio.gather(
        *(each.basic_cancel(tag) for tag in (*tags, *tags) for each in (opened, other))
    )

    assert [each["consumer_tag"] for each in cancelled if each] == [
        tag for tag in (*tags, *tags) for _ in range(2)
    ]
    assert (await opened.queue_declare(name, passive=True))["consumer_count"] == 0


async def test_the_short_method_names_of_the_tutorials_exist(server: ScriptedServer) -> None:
    """M26."""
    opened = await server.open_channel()

    assert (await opened.queue("task_queue", durable=True))["queue"] == "task_queue"
    assert await opened.exchange("topic_logs", "topic") is True
    await opened.publish(b"m", "topic_logs", routing_key="anonymous.info")

    assert [method for method, _ in await published(server)] == [
        queue.Declare("task_queue", durable=True),
        exchange.Declare("topic_logs", "topic"),
        basic.Publish("topic_logs", "anonymous.info"),
    ]
    await opened.protocol.close()


async def test_a_worker_with_a_prefetch_count_of_1_has_one_message_at_a_time(
    connect: Connect,
) -> None:
    """M27."""
    protocol = await connect()
    busy, idle = Gate(), asyncio.Queue[bytes]()
    first, second = await protocol.channel(), await protocol.channel()
    name = (await first.queue_declare(exclusive=True))["queue"]

    async def worker(
        channel: aioamqp.Channel, body: bytes, envelope: aioamqp.Envelope, _: object
    ) -> None:
        idle.put_nowait(body)
        await channel.basic_client_ack(envelope.delivery_tag)

    for channel, callback in ((first, busy), (second, worker)):
        await channel.basic_qos(prefetch_count=1, prefetch_size=0, connection_global=False)
        await channel.basic_consume(callback, queue_name=name)
    for n in range(5):
        await first.basic_publish(b"%d" % n, "", name)

    rest = [await idle.get() for _ in range(4)]
    assert busy.bodies == [b"0"]
    assert rest == [b"1", b"2", b"3", b"4"]
    busy.is_open.set()
