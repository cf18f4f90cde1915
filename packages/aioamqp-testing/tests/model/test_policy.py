"""Policies: which one is in force, and which ones are refused."""

from typing import Any

import pytest

from aioamqp_testing.model import Policy, VirtualHost
from aioamqp_testing.model.policy import Policies
from aioamqp_testing.model.profile import Arguments
from aioamqp_testing.model.queues.arguments import Settings
from fake_broker_support import a_message

ME = object()


def test_the_matching_policy_with_the_highest_priority_holds_and_no_other() -> None:
    """Row 121."""
    policies = Policies()
    policies.set(Policy("all", "", {"max-length": 1, "message-ttl": 5}, "all", -1))
    policies.set(Policy("q", "^q", {"max-length": 2}, "queues", 3))
    policies.set(Policy("low", "^q", {"max-length": 3}, "queues", 2))
    policies.set(Policy("x", "^q", {"alternate-exchange": "y"}, "exchanges", 9))

    assert policies.for_queue("q1") == {"max-length": 2}
    assert policies.for_queue("r") == {"max-length": 1, "message-ttl": 5}

    policies.clear("q")
    assert policies.for_queue("q1") == {"max-length": 3}
    policies.set(Policy("low", "^r", {"max-length": 3}))
    assert policies.for_queue("q1") == {"max-length": 1, "message-ttl": 5}


def test_a_policy_that_is_cleared_no_longer_applies_to_queues(vhost: VirtualHost) -> None:
    """Row 121. A queue that is declared after the policy has it at once."""
    vhost.policies.set(Policy("length", "^q", {"max-length": 1}))
    queue = vhost.declare_queue("q", ME)
    for body in (b"1", b"2"):
        vhost.publish(a_message(body))
    assert queue.message_count == 1

    vhost.policies.clear("length")
    vhost.apply_policies()

    vhost.publish(a_message(b"3"))
    assert [message.body for message in queue.messages] == [b"2", b"3"]


def test_an_exchange_prefers_its_own_alternate_to_the_policys(vhost: VirtualHost) -> None:
    vhost.policies.set(Policy("x", "^x", {"alternate-exchange": "amq.fanout"}))
    vhost.declare_exchange("x1", "direct")
    vhost.declare_exchange("x2", "direct", arguments={"alternate-exchange": "amq.topic"})
    for kind in ("fanout", "topic"):
        vhost.declare_queue(kind, ME)
        vhost.bind_queue(kind, f"amq.{kind}", "#", {}, ME)

    assert vhost.publish(a_message(b"1", exchange="x1"))
    assert vhost.publish(a_message(b"2", exchange="x2"))

    bodies = {name: [each.body for each in queue.messages] for name, queue in vhost.queues.items()}
    assert bodies == {"fanout": [b"1"], "topic": [b"2"]}


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"pattern": "["}, "'\\[' is no regular expression"),
        ({"definition": {}}, "the policy 'p' defines nothing"),
        (
            {"definition": {"x-max-length": 1}},
            "a policy cannot define 'x-max-length' here; it can define: alternate",
        ),
        ({"definition": {"max-length": "1"}}, "'max-length' must be of type int, not '1'"),
        ({"definition": {"max-length": True}}, "'max-length' must be of type int, not True"),
        ({"definition": {"max-length": -1}}, "'max-length' must be 0 or more, not -1"),
        ({"definition": {"expires": 0}}, "'expires' must be 1 or more, not 0"),
        ({"definition": {"overflow": "x"}}, "'overflow' must be one of drop-head, reject-publish"),
        ({"apply_to": "queue"}, "apply_to must be 'all', 'exchanges' or 'queues', not 'queue'"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(policy: dict[str, Any], why: str) -> None:
    arguments = {"name": "p", "pattern": "", "definition": {"max-length": 1}, **policy}

    with pytest.raises(ValueError, match=why):
        Policies().set(Policy(**arguments))


def test_a_policy_may_define_what_the_version_knows() -> None:
    policy = Policy("p", "", {"consumer-timeout": 1000})

    Policies(Arguments.UNMIRRORED).set(policy)
    with pytest.raises(ValueError, match="a policy cannot define 'consumer-timeout' here"):
        Policies(Arguments.MIRRORED).set(policy)


@pytest.mark.parametrize(
    ("argument", "policy", "limit"),
    [(5, 3, 3), (3, 5, 3), (5, -1, 5), (-1, 3, 3), (-2, -1, -1), (None, 4, 4), (4, None, 4)],
)
def test_a_negative_delivery_limit_does_not_count(
    argument: int | None, policy: int | None, limit: int
) -> None:
    arguments = {} if argument is None else {"x-delivery-limit": argument}
    definition = {} if policy is None else {"delivery-limit": policy}

    assert Settings.of(arguments, definition, Arguments.UNMIRRORED).delivery_limit == limit


def test_a_policy_that_does_not_exist_cannot_be_cleared() -> None:
    with pytest.raises(ValueError, match="there is no policy 'p'"):
        Policies().clear("p")
