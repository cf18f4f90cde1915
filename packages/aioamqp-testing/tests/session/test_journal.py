"""The journal of a broker."""

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.model import ManualClock, Node
from aioamqp_testing.session import Journal
from amqp_codec import connection, queue
from fake_broker_support import RABBITMQ_3_10, SilentClient, start_ok


def test_the_journal_tells_what_was_said_and_why_it_ended() -> None:
    journal = Journal()
    client = SilentClient(Node(profile=RABBITMQ_3_10), ManualClock(), journal).open(1)
    client.say(1, queue.Declare("none", passive=True))
    client.publish("k", b"x" * 1000)
    client.session.connection_lost()

    text = str(journal)
    assert "-> 1 queue.Declare(queue='none', passive=True" in text
    assert "<- 1 channel.Close(reply_code=404, reply_text=\"NOT_FOUND - no queue 'none'" in text
    assert "1000 bytes b'" + "x" * 40 + "'..." in text
    assert text.endswith("the connection ends: the client has closed it")


def test_the_journal_keeps_only_the_last_of_very_many() -> None:
    journal = Journal(kept=2)
    for name in "abc":
        journal.open(name)
    for number in range(1000):
        journal.connections[-1].note(str(number))

    assert [each.name for each in journal.connections] == ["b", "c"]
    assert len(journal.connections[-1].lines) == 200
    assert "(800 earlier ones left out)" in str(journal)


@pytest.mark.parametrize(
    "login",
    [
        start_ok(password="hunter2"),
        start_ok(
            mechanism="AMQPLAIN", response=b"\5LOGINS\0\0\0\5guest\10PASSWORDS\0\0\0\7hunter2"
        ),
        start_ok(mechanism="AMQPLAIN", response=b"hunter2"),
        start_ok(mechanism="SCRAM", response=b"hunter2"),
    ],
)
def test_the_journal_shows_no_secret(login: connection.StartOk) -> None:
    """Row C8."""
    journal = Journal()
    client = SilentClient(Node(profile=RABBITMQ_3_10), ManualClock(), journal).open()
    client.say(0, connection.UpdateSecret(b"hunter2", "it expires"))
    other = SilentClient(client.node, client.clock, journal)
    other.start()
    other.say(0, connection.SecureOk(b"hunter2"))
    refused = SilentClient(client.node, client.clock, journal)
    refused.start(password="hunter2", mechanism=login.mechanism, response=login.response)

    text = str(journal)
    assert "hunter2" not in text
    assert "connection.UpdateSecret(new_secret=b'***', reason='it expires')" in text
    assert "connection.SecureOk(response=b'***')" in text
    assert f"mechanism='{login.mechanism}', response=b'***'" in text


def test_no_text_of_the_broker_shows_a_password() -> None:
    """Row C8."""
    broker = FakeBroker()
    broker.add_user("ada", "hunter2")

    assert "hunter2" not in f"{broker} {broker.node.users} {broker.journal}"
