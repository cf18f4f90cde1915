"""Publisher confirms, without a channel."""

import asyncio
import sys
from collections.abc import Iterable

import pytest

from aioamqp._channel.confirms import Confirms, Content, Returned
from aioamqp.envelope import ReturnEnvelope
from aioamqp.exceptions import ChannelClosed, PublishFailed, PublishReturned, PublishUnconfirmed
from aioamqp.properties import Properties
from amqp_codec import Properties as CodecProperties
from amqp_codec import basic

pytestmark = pytest.mark.asyncio

RETURNED = Returned(ReturnEnvelope(312, "NO_ROUTE", "", "q"), b"body", Properties())
CONTENT = Content("", "q", b"", b"body")


def publish(confirms: Confirms, count: int, content: Content | None = None) -> list[str]:
    """Publish so many messages; return a list that shows how each ends, when it does."""
    outcomes = ["open"] * count
    loop = asyncio.get_running_loop()

    def settled(future: asyncio.Future[None], n: int) -> None:
        outcomes[n] = "ack" if future.exception() is None else type(future.exception()).__name__

    for n in range(count):
        waiter: asyncio.Future[None] = loop.create_future()
        waiter.add_done_callback(lambda future, n=n: settled(future, n))  # type: ignore[misc]
        confirms.add(waiter, content)
    return outcomes


async def after(confirms: Confirms, *outcomes: basic.Ack | basic.Nack) -> None:
    for outcome in outcomes:
        confirms.handle_ack(outcome)
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("received", "ends"),
    [
        ([basic.Ack(2)], "open ack open open"),
        ([basic.Ack(3, True)], "ack ack ack open"),
        ([basic.Nack(3, True)], "PublishFailed PublishFailed PublishFailed open"),
        ([basic.Ack(0, True)], "ack ack ack ack"),
        ([basic.Nack(0, True)], "PublishFailed " * 4),
        ([basic.Ack(2), basic.Nack(3, True)], "PublishFailed ack PublishFailed open"),
        (
            [basic.Nack(1), basic.Ack(2, True), basic.Nack(4)],
            "PublishFailed ack open PublishFailed",
        ),
        ([basic.Ack(4), basic.Ack(2), basic.Ack(3, True)], "ack ack ack ack"),
        ([basic.Ack(1), basic.Nack(1), basic.Nack(1, True)], "ack open open open"),
        ([basic.Ack(2**63, True)], "ack ack ack ack"),
    ],
    ids=str,
)
async def test_each_message_is_settled_once_by_the_first_ack_or_nack_for_it(
    received: Iterable[basic.Ack | basic.Nack], ends: str
) -> None:
    confirms = Confirms()
    outcomes = publish(confirms, 4)

    await after(confirms, *received)

    assert outcomes == ends.split()
    await after(confirms, basic.Ack(0, True))
    assert "open" not in outcomes


async def test_multiple_acks_take_linear_time() -> None:
    def calls_to_settle(count: int) -> int:
        confirms, calls = Confirms(), 0
        for _ in range(count):
            confirms.add(None)

        def profile(_frame: object, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event == "call"

        sys.setprofile(profile)
        for tag in range(10, count + 1, 10):
            confirms.handle_ack(basic.Ack(tag, True))
        sys.setprofile(None)
        assert confirms.pending == 0
        return calls

    assert calls_to_settle(10_000) <= 11 * calls_to_settle(1000)


@pytest.mark.parametrize("tag", [0, 3])
async def test_an_ack_for_a_message_that_was_not_published_is_logged(
    tag: int, caplog: pytest.LogCaptureFixture
) -> None:
    confirms = Confirms()
    outcomes = publish(confirms, 2)

    await after(confirms, basic.Ack(tag))

    assert outcomes == ["open", "open"]
    assert f"delivery tag {tag}" in caplog.text


async def test_messages_without_a_waiter_are_counted() -> None:
    confirms = Confirms()
    confirms.add(None)
    outcomes = publish(confirms, 1)

    await after(confirms, basic.Nack(1))
    assert outcomes == ["open"]

    await after(confirms, basic.Ack(2))
    assert outcomes == ["ack"]


async def test_a_returned_message_ends_as_returned_when_its_ack_comes() -> None:
    confirms = Confirms()
    outcomes = publish(confirms, 2, CONTENT)

    assert confirms.handle_return(CONTENT, RETURNED)
    assert outcomes == ["open", "open"]
    await after(confirms, basic.Ack(2, True))

    assert outcomes == ["PublishReturned", "ack"]


async def test_a_return_is_not_matched_with_a_settled_message() -> None:
    confirms = Confirms()
    outcomes = publish(confirms, 3, CONTENT)
    confirms.handle_ack(basic.Ack(2))
    confirms.handle_ack(basic.Ack(1))

    confirms.handle_return(CONTENT, RETURNED)
    await after(confirms, basic.Ack(3))

    assert outcomes == ["ack", "ack", "PublishReturned"]
    assert not confirms.handle_return(CONTENT, RETURNED)


async def test_a_return_is_matched_with_the_message_that_has_its_properties() -> None:
    confirms = Confirms()
    contents = [Content("", "q", CodecProperties(message_id=i).encode(), b"body") for i in "ab"]
    first, second = (publish(confirms, 1, content) for content in contents)

    confirms.handle_return(contents[1], RETURNED)
    await after(confirms, basic.Ack(2, True))

    assert (first, second) == (["ack"], ["PublishReturned"])


async def test_a_return_with_changed_properties_is_matched_by_the_rest() -> None:
    confirms = Confirms()
    outcomes = publish(
        confirms, 1, Content("", "q", CodecProperties(headers={"BCC": []}).encode(), b"b")
    )

    assert confirms.handle_return(
        Content("", "q", CodecProperties(headers={}).encode(), b"b"), RETURNED
    )
    await after(confirms, basic.Ack(1))

    assert outcomes == ["PublishReturned"]


@pytest.mark.parametrize(
    "other",
    [Content("e", "q", b"", b"body"), Content("", "r", b"", b"body"), Content("", "q", b"", b"x")],
)
async def test_a_return_of_another_message_is_ignored(other: Content) -> None:
    confirms = Confirms()
    outcomes = publish(confirms, 1, CONTENT)

    assert not confirms.handle_return(other, RETURNED)
    await after(confirms, basic.Ack(1))

    assert outcomes == ["ack"]


async def test_a_return_of_a_message_without_a_waiter_is_not_matched_with_an_equal_one() -> None:
    confirms = Confirms()
    confirms.add(None, CONTENT)
    outcomes = publish(confirms, 1, CONTENT)

    assert not confirms.handle_return(CONTENT, RETURNED)
    await after(confirms, basic.Ack(2, True))

    assert outcomes == ["ack"]


async def test_nothing_is_kept_of_settled_messages() -> None:
    confirms = Confirms()
    publish(confirms, 3, CONTENT)
    confirms.handle_return(CONTENT, RETURNED)

    await after(confirms, basic.Ack(2), basic.Ack(3), basic.Ack(1))

    assert confirms.pending == 0


async def test_all_messages_are_unconfirmed_when_the_channel_ends() -> None:
    confirms = Confirms()
    waiters = [asyncio.get_running_loop().create_future() for _ in range(3)]
    for waiter in waiters:
        confirms.add(waiter)
    confirms.add(None)
    confirms.handle_ack(basic.Ack(2))
    end = ChannelClosed(406, "no")

    confirms.fail(end)

    assert waiters[1].result() is None
    for tag in (1, 3):
        error = waiters[tag - 1].exception()
        assert isinstance(error, PublishUnconfirmed)
        assert isinstance(error, ChannelClosed)
        assert (error.delivery_tag, error.unconfirmed) == (tag, (1, 3, 4))
        assert (error.code, error.message, error.args) == (406, "no", (406, "no"))
        assert error.__cause__ is end
        assert f"delivery tag {tag}" in str(error)
        assert "406 no" in str(error)


async def test_a_cancelled_waiter_is_ignored() -> None:
    confirms = Confirms()
    waiters = [asyncio.get_running_loop().create_future() for _ in range(3)]
    for waiter in waiters:
        confirms.add(waiter, CONTENT)
        waiter.cancel()

    assert not confirms.handle_return(CONTENT, RETURNED)
    confirms.handle_ack(basic.Ack(1))
    confirms.handle_ack(basic.Nack(2))
    confirms.fail(ChannelClosed())

    assert all(waiter.cancelled() for waiter in waiters)


async def test_publish_returned_names_exchange_and_routing_key() -> None:
    error = PublishReturned(7, ReturnEnvelope(312, "NO_ROUTE", "ex", "key"), b"", Properties())

    assert isinstance(error, PublishFailed)
    assert (error.delivery_tag, error.args) == (7, (7,))
    assert all(word in str(error) for word in ("7", "'ex'", "'key'", "312 NO_ROUTE"))


async def test_matching_returns_without_their_bcc_header_is_linear() -> None:
    """RabbitMQ takes the header BCC out of a returned message, so its properties differ."""
    comparisons = 0

    class Counted(bytes):
        def __eq__(self, other: object) -> bool:
            nonlocal comparisons
            comparisons += 1
            return super().__eq__(other)

        __hash__ = bytes.__hash__

    confirms, count = Confirms(), 300
    for number in range(count):
        confirms.add(None, Content("", "q", Counted(b"with BCC %d" % number), b"body"))
    for _ in range(count):
        confirms.handle_return(Content("", "q", Counted(b"without"), b"body"), RETURNED)

    assert comparisons <= 10 * count
    confirms.handle_ack(basic.Ack(count, multiple=True))
    assert confirms.pending == 0
