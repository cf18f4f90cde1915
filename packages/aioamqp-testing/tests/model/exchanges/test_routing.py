"""Routing over several exchanges, and by several keys."""

from aioamqp_testing.model import Access, Message, Outcome, Publication, VirtualHost
from amqp_codec import LongStr, Properties
from fake_broker_support import RABBITMQ_3_10, a_message

ME = object()
ACCESS = Access()


def names(vhost: VirtualHost, message: Message) -> list[str]:
    return vhost.accept(message).queues


def test_queues_come_by_name_and_once(vhost: VirtualHost) -> None:
    for name in ("c", "a", "b"):
        vhost.declare_queue(name, ME)
        for key in ("1", "2"):
            vhost.bind_queue(name, "amq.direct", key, {}, ME)
    message = a_message(exchange="amq.direct", key="1", headers={"CC": ["2"]})

    assert names(vhost, message) == ["a", "b", "c"]


def test_an_alternate_exchange_is_for_what_has_no_way_at_all(vhost: VirtualHost) -> None:
    """Row 132."""
    vhost.declare_exchange("main", "direct", arguments={"alternate-exchange": "amq.fanout"})
    for name in ("known", "other"):
        vhost.declare_queue(name, ME)
    vhost.bind_queue("known", "main", "k", {}, ME)
    vhost.bind_queue("other", "amq.fanout", "", {}, ME)

    assert names(vhost, a_message(exchange="main", key="k")) == ["known"]
    assert names(vhost, a_message(exchange="main", key="?")) == ["other"]


def test_alternate_exchanges_in_a_circle_lead_nowhere(vhost: VirtualHost) -> None:
    """Row 132."""
    for one, other in (("x", "y"), ("y", "x")):
        vhost.declare_exchange(one, "direct", arguments={"alternate-exchange": other})

    assert names(vhost, a_message(exchange="x")) == []


def test_the_default_exchange_is_no_way_on(vhost: VirtualHost) -> None:
    """Row 132."""
    vhost.declare_exchange("x", "direct", arguments={"alternate-exchange": ""})
    vhost.declare_queue("q", ME)

    assert names(vhost, a_message(exchange="x", key="q")) == []


def test_keys_in_cc_and_bcc_count_as_far_as_they_are_strings() -> None:
    """Rows 135 and 136."""
    headers = {"BCC": ["b", 5, LongStr(b"\xff")], "k": "v", "CC": ["c", None]}

    message = a_message(key="a", headers=headers).validated(ACCESS, None, RABBITMQ_3_10)

    assert message.routing_keys == ("a", "c", "b", "\udcff")
    assert message.properties == Properties(headers={"k": "v", "CC": ["c", None]})


def test_a_message_without_such_headers_is_not_touched() -> None:
    message = a_message(headers={"k": "v"})

    assert message.validated(ACCESS, None, RABBITMQ_3_10) is message


def test_queues_are_looked_up_when_a_message_is_delivered(vhost: VirtualHost) -> None:
    """Row 160."""
    publication = vhost.accept(a_message(key="q"))
    assert publication == Publication(publication.message, ["q"])

    assert vhost.deliver(publication) is Outcome.UNROUTED
    queue = vhost.declare_queue("q", ME)
    assert vhost.deliver(publication) is Outcome.ACCEPTED
    assert queue.message_count == 1
