"""The broker as a whole."""

import pytest

from aioamqp_testing.model import Node


def test_brokers_make_up_the_same_names_in_every_run_and_never_one_twice() -> None:
    one, other = Node(), Node()

    names = [one.new_name("amq.ctag-") for _ in range(100)]

    assert len(set(names)) == 100
    assert names[:3] == [other.new_name("amq.ctag-") for _ in range(3)]
    assert {len(name) for name in names} == {len("amq.ctag-") + 22}


def test_a_virtual_host_can_be_added_once() -> None:
    node = Node()

    assert node.add_vhost("other").name == "other"
    with pytest.raises(ValueError, match="choose another name"):
        node.add_vhost("other")
