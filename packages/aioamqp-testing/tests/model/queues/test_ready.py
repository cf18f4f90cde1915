"""Ready messages: their order, and what they cost."""

import gc

from aioamqp_testing.model import VirtualHost
from aioamqp_testing.model.messages.message import Message, QueuedMessage
from aioamqp_testing.model.queues.ready import ReadyMessages
from fake_broker_support import NotingChannel, a_message


def ready_messages() -> ReadyMessages:
    positions = iter(range(100))
    return ReadyMessages(lambda message: QueuedMessage(next(positions), message))


def named(name: str) -> Message:
    return a_message(name.encode())


def drained(ready: ReadyMessages) -> str:
    return "".join(ready.pop().message.body.decode() for _ in range(len(ready)))


def shown(ready: ReadyMessages) -> str:
    return "".join(message.body.decode() for message in ready.messages)


def test_messages_that_are_put_back_come_first_in_their_old_order() -> None:
    ready = ready_messages()
    for name in "abcdef":
        ready.append(named(name))
    removed = [ready.pop() for _ in range(4)]

    for queued in (removed[3], removed[0], removed[2]):
        ready.put_back(queued)

    assert shown(ready) == "acdef"
    assert drained(ready) == "acdef"


def test_messages_that_expire_keep_their_place_among_others() -> None:
    ready = ready_messages()
    early = QueuedMessage(99, named("b"), expires_at=1.0)
    for message in (named("a"), early, named("c")):
        if isinstance(message, QueuedMessage):
            ready.append_queued(message)
        else:
            ready.append(message)
    times = [ready.expires_at]
    removed = [ready.pop(), ready.pop()]
    times.append(ready.expires_at)

    for queued in reversed(removed):
        ready.put_back(queued)

    times.append(ready.expires_at)
    assert times == [None, None, None]
    assert ready.pop() is removed[0]
    assert ready.expires_at == 1.0
    assert drained(ready) == "bc"


def test_lower_levels_come_first() -> None:
    ready = ready_messages()
    ready.append(named("d"))
    for position, (name, level) in enumerate((("b", -1), ("a", -2), ("c", -1), ("e", 0))):
        ready.append_queued(QueuedMessage(position, named(name), level=level))

    assert shown(ready) == drained(ready) == "abcde"


def test_the_size_of_the_bodies_is_counted() -> None:
    ready = ready_messages()
    for name in ("long", "x", "y"):
        ready.append(named(name))
    assert ready.exceeds(None, 5)
    assert not ready.exceeds(None, 6)
    assert ready.exceeds(None, 6, more_bytes=1)

    queued = ready.pop()
    assert not ready.exceeds(None, 2)
    ready.put_back(queued)
    assert [message.body for message in ready.keep(lambda message: message.body != b"x")] == [b"x"]
    assert ready.exceeds(None, 4)
    assert not ready.exceeds(2, 5)
    assert ready.clear() == 2
    assert not ready.exceeds(0, 0)


def test_a_message_in_many_queues_needs_no_object_for_each_of_them(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row U47."""
    for number in range(100):
        vhost.declare_queue(f"q{number}", None)
        vhost.bind_queue(f"q{number}", "amq.fanout", "", {}, None)
    vhost.publish(a_message(exchange="amq.fanout"))
    gc.collect()
    before = len(gc.get_objects())

    for _ in range(100):
        vhost.publish(a_message(exchange="amq.fanout"))

    assert len(gc.get_objects()) - before < 100 * 10
    queued = [queue.get(noting, no_ack=False) for queue in vhost.queues.values()]
    assert len({id(each.message) for each in queued if each is not None}) == 1
