"""The broker as a whole."""

import pytest

from aioamqp_testing.model import Node
from fake_broker_support import RABBITMQ_3_10


def test_brokers_make_up_the_same_names_in_every_run_and_never_one_twice() -> None:
    one, other = Node(profile=RABBITMQ_3_10), Node(profile=RABBITMQ_3_10)

    names = [one.new_name("amq.ctag-") for _ in range(100)]

    assert len(set(names)) == 100
    assert names[:3] == [other.new_name("amq.ctag-") for _ in range(3)]
    assert {len(name) for name in names} == {len("amq.ctag-") + 22}


def test_a_virtual_host_can_be_added_once() -> None:
    node = Node(profile=RABBITMQ_3_10)

    assert node.add_vhost("other").name == "other"
    with pytest.raises(ValueError, match="choose another name"):
        node.add_vhost("other")


@pytest.mark.parametrize(
    ("reasons", "alarm"),
    [
        ([], ""),
        (["low on memory"], "low on memory"),
        (["low on memory", "low on memory"], "low on memory"),
        (["low on memory", "low on disk"], "low on disk & memory"),
        (["low on memory", "maintenance"], "low on memory & maintenance"),
    ],
)
def test_the_reason_for_clients_names_all_alarms(reasons: list[str], alarm: str) -> None:
    """Row U48."""
    node = Node(profile=RABBITMQ_3_10)

    for reason in reasons:
        node.raise_alarm(reason)

    assert node.alarm == alarm


def test_the_latest_alarm_is_cleared_unless_another_is_named() -> None:
    """Row U48."""
    node = Node(profile=RABBITMQ_3_10)
    for reason in ("a", "b", "c", "a"):
        node.raise_alarm(reason)

    node.clear_alarm()
    assert node.alarm == "a & b"
    node.clear_alarm("a")
    assert node.alarm == "b"
    with pytest.raises(ValueError, match=r"there is no alarm 'a'; the alarms that hold are: 'b'\."):
        node.clear_alarm("a")
    node.clear_alarm()
    node.clear_alarm()
    assert node.alarm == ""
