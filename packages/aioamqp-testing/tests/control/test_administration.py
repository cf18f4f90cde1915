"""Administration of a broker by a test, while clients are connected."""

from collections.abc import Callable

import pytest

import aioamqp
from aioamqp_testing import FakeBroker
from amqp_codec import FieldTable, basic, channel, connection, queue
from fake_broker_support import SilentClient

pytestmark = pytest.mark.asyncio


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker(clock="manual")


@pytest.fixture
def client(broker: FakeBroker) -> SilentClient:
    return SilentClient(broker.node).open(1)


def forced(text: str) -> list[connection.Close]:
    return [connection.Close(320, f"CONNECTION_FORCED - {text}", 0, 0)]


async def test_a_program_logs_in_as_a_user_into_a_virtual_host() -> None:
    async with FakeBroker(rabbitmq="4.3") as broker:
        broker.add_vhost("/shop")
        broker.add_user("ada", "secret")
        broker.set_permissions("ada", "/shop", configure="^ada")

        _, protocol = await broker.connect(login="ada", password="secret", virtualhost="/shop")
        ada = await protocol.channel()
        await ada.queue_declare("ada.q", durable=True)
        with pytest.raises(aioamqp.ChannelClosed) as caught:
            await ada.queue_declare("q", durable=True)

        assert caught.value.message == (
            "ACCESS_REFUSED - configure access to queue 'q' in vhost '/shop' refused for user 'ada'"
        )
        assert list(broker.node.vhosts["/shop"].queues) == ["ada.q"]
        await protocol.close()


async def test_guest_may_enter_a_virtual_host_that_is_added(broker: FakeBroker) -> None:
    vhost = broker.add_vhost("/shop")

    assert vhost.name == "/shop"
    assert broker.node.users["guest"].permissions.keys() == {"/", "/shop"}


async def test_a_connection_is_closed_by_the_administrator(
    broker: FakeBroker, client: SilentClient
) -> None:
    """Row 55. Its channels are gone at once, and the client may answer."""
    client.say(1, queue.Declare("q", exclusive=True))
    wakes = client.wakes

    broker.close_connection(client.session)

    assert client.wakes == wakes + 1
    assert client.heard() == forced("Closed via management plugin")
    assert broker.vhost.queues == {}
    client.say(0, connection.CloseOk())
    assert client.session.ending is not None


async def test_a_connection_is_closed_by_its_name(broker: FakeBroker, client: SilentClient) -> None:
    """Row 55."""
    with pytest.raises(
        ValueError, match="there is no connection 'other' in the broker; there are: 'test'"
    ):
        broker.close_connection("other")

    broker.close_connection("test", "enough")

    assert client.heard() == forced("enough")


async def test_a_connection_that_is_not_open_yet_is_reset(broker: FakeBroker) -> None:
    client = SilentClient(broker.node)
    client.start()

    broker.close_connection(client.session)

    assert client.session.ending is not None
    assert client.heard() == []


async def test_connections_are_closed_by_user_and_virtual_host(
    broker: FakeBroker, client: SilentClient
) -> None:
    """Row 56."""
    broker.close_all_connections("not you", vhost="/other")
    broker.close_all_connections("not you", user="ada")
    assert client.heard() == []

    broker.close_all_connections("you", user="guest", vhost="/")

    assert client.heard() == forced("you")


async def test_a_user_who_is_deleted_loses_connections_and_login(
    broker: FakeBroker, client: SilentClient
) -> None:
    """Row 57."""
    broker.delete_user("guest")

    assert client.heard() == forced("user 'guest' is deleted")
    late = SilentClient(broker.node)
    (refused,) = late.start()
    assert isinstance(refused, connection.Close)
    assert refused.reply_code == 403


async def test_a_virtual_host_is_deleted_with_its_contents(
    broker: FakeBroker, client: SilentClient
) -> None:
    """Row 57. Not even a timer of one of its queues."""
    client.say(1, queue.Declare("q", durable=True, arguments={"x-expires": 1000}))
    vhost = broker.vhost

    broker.delete_vhost("/")

    assert client.heard() == forced("vhost '/' is deleted")
    assert vhost.queues == {}
    assert "/" not in broker.node.vhosts


async def test_a_virtual_host_can_be_down_for_a_while(
    broker: FakeBroker, client: SilentClient
) -> None:
    """Rows 21 and 57."""
    broker.crash_vhost()

    assert client.heard() == forced("vhost '/' is down")
    late = SilentClient(broker.node)
    late.start()
    answer = late.say(0, connection.TuneOk(2047, 131072, 0), connection.Open("/"))
    down = "access to vhost '/' refused for user 'guest': vhost '/' is down"
    assert answer == [connection.Close(541, f"INTERNAL_ERROR - {down}", 10, 40)]

    broker.restart_vhost()

    SilentClient(broker.node).open(1)


async def test_permissions_hold_for_open_connections_at_once(
    broker: FakeBroker, client: SilentClient
) -> None:
    broker.clear_permissions("guest")

    (refused,) = client.say(1, queue.Declare("q", durable=True))

    assert isinstance(refused, channel.Close)
    assert refused.reply_code == 403


async def test_topic_permissions_can_be_taken_away(
    broker: FakeBroker, client: SilentClient
) -> None:
    client.say(1, queue.Declare("q", durable=True))
    broker.set_topic_permissions("guest", "amq.topic", read="^a$")
    (refused,) = client.say(1, queue.Bind("q", "amq.topic", "b"))
    assert isinstance(refused, channel.Close)

    broker.clear_topic_permissions("guest", "amq.topic")

    client.say(1, channel.CloseOk(), channel.Open())
    assert client.say(1, queue.Bind("q", "amq.topic", "b")) == [queue.BindOk()]


async def test_a_password_counts_when_someone_logs_in(
    broker: FakeBroker, client: SilentClient
) -> None:
    broker.change_password("guest", "other")

    assert client.say(1, basic.Qos()) == [basic.QosOk()]
    (refused,) = SilentClient(broker.node).start()
    assert isinstance(refused, connection.Close)
    assert isinstance(SilentClient(broker.node).start(password="other")[0], connection.Tune)


async def test_what_is_above_a_new_limit_stays(broker: FakeBroker, client: SilentClient) -> None:
    """Rows 19 and 20."""
    broker.set_vhost_limits(max_connections=0)
    broker.set_user_limits("guest", max_connections=0, max_channels=1)

    assert client.say(1, basic.Qos()) == [basic.QosOk()]

    broker.set_vhost_limits()
    broker.set_user_limits("guest")
    SilentClient(broker.node).open(1, 2)


async def test_a_policy_is_set_and_cleared(broker: FakeBroker, client: SilentClient) -> None:
    """Row 121."""
    client.say(1, queue.Declare("q", durable=True))
    client.publish("q", b"1", b"2", b"3")

    broker.set_policy("short", "^q$", {"max-length": 1})
    assert [message.body for message in broker.vhost.queues["q"].messages] == [b"3"]

    broker.clear_policy("short")
    client.publish("q", b"4")
    assert broker.vhost.queues["q"].message_count == 2


async def test_a_policy_that_expires_messages_sends_them_on_at_once(
    broker: FakeBroker, client: SilentClient
) -> None:
    """Row 121. Consumers of where they go have them without anything else happening."""
    client.say(
        1,
        queue.Declare("q", durable=True),
        queue.Declare("dead", durable=True),
        basic.Consume("dead", "tag"),
    )
    client.publish("q", b"1")

    definition: FieldTable = {
        "max-length": 0,
        "dead-letter-exchange": "",
        "dead-letter-routing-key": "dead",
    }
    broker.set_policy("dead", "^q$", definition)

    assert client.heard() == [basic.Deliver("tag", 1, False, "", "dead")]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda broker: broker.add_user("guest", ""), "user 'guest' exists already"),
        (
            lambda broker: broker.delete_user("ada"),
            "there is no user 'ada' in the broker; there are: 'guest'",
        ),
        (lambda broker: broker.change_password("ada", ""), "there is no user 'ada'"),
        (lambda broker: broker.set_permissions("ada"), "there is no user 'ada'"),
        (lambda broker: broker.set_permissions("guest", "/x"), "there is no virtual host '/x'"),
        (lambda broker: broker.set_permissions("guest", read="["), "no regular expression"),
        (lambda broker: broker.clear_permissions("guest", "/x"), "there is no virtual host"),
        (lambda broker: broker.set_topic_permissions("ada", "x"), "there is no user 'ada'"),
        (lambda broker: broker.clear_topic_permissions("ada", "x"), "there is no user 'ada'"),
        (lambda broker: broker.set_user_limits("ada"), "there is no user 'ada'"),
        (
            lambda broker: broker.set_user_limits("guest", max_channels=-1),
            "max_channels must not be negative; None is no limit",
        ),
        (lambda broker: broker.add_vhost("/"), "there is a virtual host '/' already"),
        (
            lambda broker: broker.delete_vhost("/x"),
            "there is no virtual host '/x' in the broker; there are: '/'",
        ),
        (lambda broker: broker.set_vhost_limits("/x"), "there is no virtual host '/x'"),
        (lambda broker: broker.crash_vhost("/x"), "there is no virtual host '/x'"),
        (lambda broker: broker.restart_vhost("/x"), "there is no virtual host '/x'"),
        (lambda broker: broker.set_max_message_size(-1), "must not be negative"),
        (lambda broker: broker.set_policy("p", "", {}), "the policy 'p' defines nothing"),
        (lambda broker: broker.clear_policy("p"), "there is no policy 'p'"),
    ],
)
async def test_what_cannot_be_done_is_refused(
    broker: FakeBroker, call: Callable[[FakeBroker], object], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        call(broker)


@pytest.mark.parametrize(
    ("version", "operators", "policy", "overflow"),
    [
        ("3.10", {"max-length": 1}, "reject-publish", "reject-publish"),
        ("4.3", {"overflow": "drop-head"}, "reject-publish", "drop-head"),
    ],
)
async def test_an_operator_policy_comes_before_a_policy(
    version: str, operators: FieldTable, policy: str, overflow: str
) -> None:
    async with FakeBroker(rabbitmq=version) as broker:
        broker.set_policy("own", ".", {"overflow": policy})
        broker.set_operator_policy("operators", ".", operators)

        assert broker.vhost.policies.for_queue("q")["overflow"] == overflow


async def test_an_operator_policy_can_only_define_limits() -> None:
    async with FakeBroker(rabbitmq="3.10") as broker:
        for definition in ({"dead-letter-exchange": ""}, {"overflow": "drop-head"}):
            with pytest.raises(ValueError, match="an operator policy cannot define"):
                broker.set_operator_policy("operators", ".", definition)
        with pytest.raises(ValueError, match="there is no operator policy 'operators'"):
            broker.clear_operator_policy("operators")


async def test_a_virtual_host_has_a_default_queue_type() -> None:
    async with FakeBroker(rabbitmq="4.3") as broker:
        broker.set_default_queue_type("quorum")
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        await channel.queue_declare("orders", durable=True)

        assert broker.vhost.queues["orders"].TYPE == "quorum"
        with pytest.raises(ValueError, match="must be 'classic', 'quorum' or 'stream', not 'x'"):
            broker.set_default_queue_type("x")
        await protocol.close()


async def test_an_old_version_has_no_default_queue_type() -> None:
    with pytest.raises(ValueError, match=r"RabbitMQ 3\.10\.8 has no default queue types"):
        FakeBroker(rabbitmq="3.10").set_default_queue_type("quorum")


@pytest.mark.parametrize(
    ("version", "limits", "why"),
    [
        ("3.10", {"max_queues": 1}, r"RabbitMQ 3\.10\.8 has no limit of the queues of a cluster"),
        ("4.0", {"max_exchanges": 9}, r"RabbitMQ 4\.0\.5 has no limit of the exchanges"),
        ("4.3", {"max_channels": -1}, "max_channels must not be negative; None is no limit"),
    ],
)
async def test_a_limit_of_a_cluster_that_the_version_does_not_have_is_refused(
    version: str, limits: dict[str, int], why: str
) -> None:
    async with FakeBroker(rabbitmq=version) as broker:
        with pytest.raises(ValueError, match=why):
            broker.set_cluster_limits(**limits)


async def test_a_limit_of_a_cluster_counts_all_virtual_hosts() -> None:
    async with FakeBroker(rabbitmq="4.3") as broker:
        broker.add_vhost("other")
        broker.set_cluster_limits(max_queues=2)
        _, protocol = await broker.connect()
        _, other = await broker.connect(virtualhost="other")
        for each in (protocol, other):
            opened = await each.channel()
            await opened.queue_declare("q", durable=True)
            await opened.queue_declare("q", durable=True)

        with pytest.raises(aioamqp.ChannelClosed, match=r"queue limit in cluster \(2\) is reached"):
            await opened.queue_declare("r", durable=True)
        for each in (protocol, other):
            await each.close()
