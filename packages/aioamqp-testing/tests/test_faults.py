"""Faults as values: which are possible, when they are due, and what is said of those that are not."""

import asyncio
from collections.abc import Callable

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import (
    Block,
    CancelConsumer,
    CloseChannel,
    CloseConnection,
    Corrupt,
    Cut,
    Delay,
    Fault,
    FaultNotTriggered,
    Lose,
    LoseConfirm,
    RefuseLogin,
    Reset,
    Send,
    Split,
)
from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
    Decoder,
    FieldTable,
    Method,
    Properties,
    basic,
    channel,
    confirm,
    connection,
    encode_command,
    queue,
)
from fake_broker_support import CAPABILITIES, Recorder


class Wire(Recorder):
    """A client in memory that is told every word, and remembers what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.transport: asyncio.Transport
        self._decoder = Decoder()
        self._read = 0

    def say(self, *methods: Method, number: int = 1, body: bytes = b"") -> None:
        for method in methods:
            properties = Properties() if method.HAS_CONTENT else None
            command = Command(number, method, properties, body if method.HAS_CONTENT else b"")
            self.transport.write(encode_command(command))

    def heard(self) -> list[Method]:
        octets = self.octets[self._read :]
        self._read += len(octets)
        return [command.method for command in self._decoder.feed(octets)]

    @property
    def is_lost(self) -> bool:
        return self.lost.is_set()


async def wire_to(broker: FakeBroker, *channels: int, name: str | None = None) -> Wire:
    """Connect, and open channels."""
    transport, wire = await broker.dial(Wire)
    wire.transport = transport
    transport.write(PROTOCOL_HEADER)
    properties: dict[str, object] = {"capabilities": CAPABILITIES}
    if name is not None:
        properties["connection_name"] = name
    start_ok = connection.StartOk(properties, "PLAIN", b"\0guest\0guest", "en_US")  # type: ignore[arg-type]
    wire.say(start_ok, connection.TuneOk(2047, 131072, 0), connection.Open("/"), number=0)
    for number in channels:
        wire.say(channel.Open(), number=number)
    await broker.wait_idle()
    wire.heard()
    return wire


async def answers(
    broker: FakeBroker, wire: Wire, *methods: Method, number: int = 1
) -> list[Method]:
    wire.say(*methods, number=number)
    await broker.wait_idle()
    return wire.heard()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Reset(nth=0), "Reset: nth is 1 for the next occurrence, not 0"),
        (lambda: Reset(times=0), "Reset: times is 1 or more, or None for always, not 0"),
        (lambda: Reset(received="basic.get", sent="basic.get-ok"), "either received= or sent="),
        (lambda: Reset(received="basic.pulbish"), "there is no method 'basic.pulbish'"),
        (lambda: LoseConfirm(sent="basic.ack"), "LoseConfirm happens when a publish is to be conf"),
        (lambda: RefuseLogin(sent="basic.ack"), "RefuseLogin happens at logins"),
        (lambda: Cut(-1), "Cut: after is a number of octets, not -1"),
        (lambda: Split(0), "pieces have 1 octet or more"),
        (lambda: Delay(0), "a delay has more than 0 seconds, not 0"),
        (lambda: Delay(1, received="basic.get"), "delay the answer, with sent="),
        (lambda: Lose(), "say what is lost, with received= or sent="),
        (lambda: Corrupt(octet=256), "an octet is 0 to 255, not 256"),
        (lambda: Corrupt(received="basic.get"), "only what is sent can be corrupted"),
    ],
)
def test_a_fault_that_can_never_happen_is_refused(make: Callable[[], Fault], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()

    assert sentence in str(caught.value)


def test_a_fault_shows_only_what_was_said_of_it() -> None:
    assert str(Reset()) == "Reset()"
    assert str(Cut(3, nth=2)) == "Cut(nth=2, after=3)"
    assert str(CloseChannel(406, "no", sent="basic.deliver")) == (
        "CloseChannel(sent='basic.deliver', code=406, text='no')"
    )


def test_faults_are_values() -> None:
    assert Reset(nth=2) == Reset(nth=2)
    assert Reset(received=basic.Publish).trigger == "basic.publish"


@pytest.mark.asyncio
async def test_a_fault_is_for_the_connection_with_its_number() -> None:
    async with FakeBroker() as broker:
        broker.faults.add(Reset(connection=2))
        first, second, third = [await wire_to(broker) for _ in range(3)]

        assert [first.is_lost, second.is_lost, third.is_lost] == [False, True, False]


@pytest.mark.asyncio
async def test_a_fault_is_for_the_connection_with_its_name() -> None:
    async with FakeBroker() as broker:
        early = await wire_to(broker, name="early")
        broker.faults.add(Reset(connection="early"))
        broker.faults.add(Reset(connection="late"))
        other, late = await wire_to(broker, name="other"), await wire_to(broker, name="late")
        again = await wire_to(broker, name="late")
        await broker.wait_idle()

        assert [wire.is_lost for wire in (early, other, late, again)] == [True, False, True, False]


@pytest.mark.asyncio
async def test_a_fault_is_for_the_connection_with_its_address() -> None:
    async with FakeBroker() as broker:
        one, other = await wire_to(broker), await wire_to(broker)
        broker.faults.add(Reset(connection=broker.sessions[1].name))
        await broker.wait_idle()

        assert [one.is_lost, other.is_lost] == [False, True]


@pytest.mark.asyncio
async def test_a_fault_is_for_its_channel_and_occurrences() -> None:
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1, 2)
        armed = broker.faults.add(Lose(received="queue.declare", channel=2, nth=2, times=2))

        heard = [
            await answers(broker, wire, queue.Declare(f"q{number}"), number=number)
            for number in (1, 2, 1, 2, 2, 2)
        ]

        assert [bool(each) for each in heard] == [True, True, True, False, False, True]
        assert (armed.seen, armed.happened) == (4, 2)


@pytest.mark.asyncio
async def test_a_fault_can_happen_always() -> None:
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1)
        broker.faults.add(Lose(sent=queue.DeclareOk, times=None))

        assert await answers(broker, wire, queue.Declare("a"), queue.Declare("b")) == []
        assert list(broker.vhost.queues) == ["a", "b"]


@pytest.mark.asyncio
async def test_several_faults_are_counted_each_by_itself() -> None:
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1)
        broker.faults.add(Lose(received="queue.declare"))
        broker.faults.add(Send(basic.Ack(7), received="queue.declare", nth=2))

        assert await answers(broker, wire, queue.Declare("a")) == []
        assert await answers(broker, wire, queue.Declare("b")) == [
            basic.Ack(7),
            queue.DeclareOk("b"),
        ]


@pytest.mark.asyncio
async def test_a_fault_that_never_happened_fails_the_test() -> None:
    with pytest.raises(FaultNotTriggered) as caught:
        async with FakeBroker() as broker:
            wire = await wire_to(broker, 1)
            broker.faults.add(Reset(received="basic.publish"))
            broker.faults.add(Lose(received="queue.declare", nth=2))
            broker.faults.add(Reset(sent="basic.deliver", optional=True))
            broker.faults.remove(broker.faults.add(Reset(received="basic.get")))
            await answers(broker, wire, queue.Declare("q"))

    assert str(caught.value) == (
        "A fault was set that never happened, so this test has not tested it. Let the test bring it"
        " about, or say optional=True:\n"
        "  Reset(received='basic.publish') happens when basic.publish is received, which never"
        " came\n"
        "  Lose(received='queue.declare', nth=2) happens when queue.declare is received, which came"
        " 1 time(s)"
    )


@pytest.mark.asyncio
async def test_a_test_that_has_failed_already_is_not_told_of_faults() -> None:
    with pytest.raises(KeyError):
        async with FakeBroker() as broker:
            broker.faults.add(Reset(received="basic.publish"))
            raise KeyError


@pytest.mark.asyncio
async def test_the_journal_says_what_a_fault_has_done() -> None:
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1)
        broker.faults.add(Lose(received="queue.declare"))
        await answers(broker, wire, queue.Declare("q"))

        assert "fault: Lose(received='queue.declare')" in str(broker.journal)


@pytest.mark.asyncio
async def test_without_faults_nothing_stands_in_between() -> None:
    async with FakeBroker() as broker:
        await wire_to(broker, 1)

        assert broker.sessions[0].interceptor is None


@pytest.mark.asyncio
async def test_confirms_around_a_lost_one_are_not_grouped_over_it() -> None:
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1)
        await answers(broker, wire, confirm.Select(), queue.Declare("q"))
        broker.faults.add(LoseConfirm(nth=3))
        publish = encode_command(Command(1, basic.Publish("", "q"), Properties(), b"m"))

        wire.transport.write(publish * 5)
        await broker.wait_idle()

        assert wire.heard() == [basic.Ack(2, True), basic.Ack(4), basic.Ack(5)]


@pytest.mark.asyncio
async def test_a_refused_publish_is_nacked_whatever_faults_there_are() -> None:
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1)
        full: FieldTable = {"x-max-length": 1, "x-overflow": "reject-publish"}
        await answers(broker, wire, confirm.Select(), queue.Declare("q", arguments=full))
        broker.faults.add(LoseConfirm())
        publish = encode_command(Command(1, basic.Publish("", "q"), Properties(), b"m"))

        wire.transport.write(publish * 2)
        await broker.wait_idle()

        assert wire.heard() == [basic.Nack(2, False, True)]


@pytest.mark.asyncio
async def test_what_is_delayed_is_not_overtaken_on_its_channel() -> None:
    async with FakeBroker(clock="manual") as broker:
        wire = await wire_to(broker, 1, 2)
        broker.faults.add(Delay(3, sent="queue.declare-ok", channel=1))

        assert await answers(broker, wire, queue.Declare("a"), basic.Qos()) == []
        assert await answers(broker, wire, basic.Qos(), number=2) == [basic.QosOk()]

        broker.clock.advance(3)
        await broker.wait_idle()
        assert wire.heard() == [queue.DeclareOk("a"), basic.QosOk()]


@pytest.mark.asyncio
async def test_what_was_delayed_is_not_delayed_again() -> None:
    async with FakeBroker(clock="manual") as broker:
        wire = await wire_to(broker, 1)
        broker.faults.add(Delay(3, sent="queue.declare-ok", times=2))
        wire.say(queue.Declare("a"), queue.Declare("b"))
        await broker.wait_idle()

        broker.clock.advance(3)
        await broker.wait_idle()
        assert wire.heard() == [queue.DeclareOk("a")]
        broker.clock.advance(3)
        await broker.wait_idle()
        assert wire.heard() == [queue.DeclareOk("b")]


@pytest.mark.asyncio
async def test_pieces_come_one_by_one() -> None:
    async with FakeBroker(clock="manual") as broker:
        wire = await wire_to(broker, 1)
        broker.faults.add(Split(8, seconds=1))
        wire.events.clear()
        wire.say(basic.Qos())
        await broker.wait_idle()
        assert [len(event) for event in wire.events if isinstance(event, bytes)] == [8]

        broker.clock.advance(1)
        await broker.wait_idle()
        assert [len(event) for event in wire.events if isinstance(event, bytes)] == [8, 4]


@pytest.mark.asyncio
async def test_octets_behind_a_cut_do_not_come() -> None:
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1)
        wire.events.clear()
        broker.faults.add(Cut(5, sent="basic.qos-ok"))

        wire.say(basic.Qos())
        await wire.lost.wait()

        assert wire.events == [b"\x01\x00\x01\x00\x00", ("lost", ConnectionResetError)]


@pytest.mark.asyncio
async def test_a_corrupt_octet_is_where_it_was_asked_for() -> None:
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1)
        wire.events.clear()
        broker.faults.add(Corrupt(offset=0, octet=9, sent="basic.qos-ok"))

        wire.say(basic.Qos())
        await broker.wait_idle()

        assert wire.octets == b"\x09\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x0b\xce"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "text"),
    [(406, "PRECONDITION_FAILED - no"), (320, "CONNECTION_FORCED - no"), (999, "no")],
)
async def test_any_code_closes_what_is_asked_for(code: int, text: str) -> None:
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1)
        broker.faults.add(CloseChannel(code, "no", received="basic.qos"))
        broker.faults.add(CloseConnection(code, "no", received="channel.close-ok"))

        assert await answers(broker, wire, basic.Qos()) == [channel.Close(code, text, 60, 10)]
        assert await answers(broker, wire, channel.CloseOk()) == [
            connection.Close(code, text, 20, 41)
        ]


@pytest.mark.asyncio
async def test_a_fault_at_an_open_connection_happens_at_the_next_one_too() -> None:
    async with FakeBroker() as broker:
        one = await wire_to(broker, 1)
        broker.faults.add(CloseConnection(320, "go away", times=2))
        await broker.wait_idle()
        await wire_to(broker)

        assert one.heard() == [connection.Close(320, "CONNECTION_FORCED - go away", 0, 0)]
        assert not broker.sessions[1].is_open


@pytest.mark.asyncio
async def test_a_consumer_is_cancelled_at_once_and_keeps_what_it_has() -> None:
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1)
        await answers(broker, wire, queue.Declare("q"), basic.Consume("q", "c"))
        broker.publish("", "q", b"m")
        await broker.wait_idle()
        wire.heard()

        broker.faults.add(CancelConsumer("c"))
        await broker.wait_idle()

        assert wire.heard() == [basic.Cancel("c", no_wait=True)]
        assert broker.vhost.queues["q"].consumer_count == 0
        assert broker.vhost.queues["q"].unacked_count == 1
        assert await answers(broker, wire, basic.Ack(1)) == []


@pytest.mark.asyncio
async def test_an_alarm_at_a_method_goes_beside_it() -> None:
    """Row 59."""
    async with FakeBroker() as broker:
        wire = await wire_to(broker, 1)
        broker.faults.add(Block("low on disk", received="queue.declare"))

        assert await answers(broker, wire, queue.Declare("q")) == [queue.DeclareOk("q")]
        assert broker.node.alarm == "low on disk"
