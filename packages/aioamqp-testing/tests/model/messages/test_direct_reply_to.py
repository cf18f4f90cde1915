"""Addresses of direct replies."""

from base64 import b64decode

import pytest

from aioamqp_testing.model import BrokerError, Message, Node, VirtualHost
from aioamqp_testing.model.messages.direct_reply_to import DirectReplies
from fake_broker_support import RABBITMQ_3_10, a_message


@pytest.fixture
def replies() -> DirectReplies:
    return Node(profile=RABBITMQ_3_10).vhosts["/"].replies


def test_an_address_has_two_parts_and_is_never_the_same(replies: DirectReplies) -> None:
    """Row 232."""
    one, other = replies.open(print), replies.open(print)

    assert one != other
    process, key = one.removeprefix("amq.rabbitmq.reply-to.").split(".")
    assert b64decode(process, validate=True).startswith(b"\x83Xv")
    assert len(b64decode(key, altchars="-_", validate=True)) == 16


def test_an_address_leads_to_its_consumer_until_that_ends(replies: DirectReplies) -> None:
    """Rows 237 and 239."""
    address = replies.open(print)

    assert replies.find(address) is print
    assert replies.find(address.replace("reply-to.", "reply-to..")) is print
    assert replies.find(f"{address}.more") is None
    replies.close(address)
    assert replies.find(address) is None


@pytest.mark.parametrize("process", ["zz", "%%%", "g2EB", "g1h2", ""])
def test_what_is_no_process_cannot_be_asked(replies: DirectReplies, process: str) -> None:
    """Row 240. Empty parts do not count."""
    address = f"amq.rabbitmq.reply-to.{process}.key"
    if not process:
        assert replies.find(address) is None
        return

    with pytest.raises(BrokerError) as caught:
        replies.find(address)

    assert caught.value.reply_text == "INTERNAL_ERROR"


def test_virtual_hosts_share_their_addresses() -> None:
    node = Node(profile=RABBITMQ_3_10)
    there: list[Message] = []
    address = node.vhosts["/"].replies.open(there.append)
    elsewhere: VirtualHost = node.add_vhost("/elsewhere")

    assert not elsewhere.publish(a_message(b"answer", key=address))
    assert there == []
    elsewhere.agenda.run_pending()

    assert [message.body for message in there] == [b"answer"]
