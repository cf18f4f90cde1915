"""The journal of a broker."""

from aioamqp_testing.model import ManualClock, Node
from aioamqp_testing.session import Journal
from amqp_codec import queue
from fake_broker_support import SilentClient


def test_the_journal_tells_what_was_said_and_why_it_ended() -> None:
    journal = Journal()
    client = SilentClient(Node(), ManualClock(), journal).open(1)
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
