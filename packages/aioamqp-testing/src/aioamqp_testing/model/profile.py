"""Profiles: what RabbitMQ does differently from version to version, as facts.

A fact is a value, or the name of a strategy where versions differ in kind. The broker asks for
facts, and never for a version. The comments cite the release that has changed a fact.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Arguments(StrEnum):
    """The table of queue and consumer arguments that applies."""

    MIRRORED = "those of classic queues that are mirrored"
    UNMIRRORED = "without mirroring"
    STRICT = "without the first version of classic queues"


class DeliveryCounting(StrEnum):
    """How a quorum queue counts deliveries, and which headers show it."""

    RETURNS_FROM_ZERO = "every requeue counts, and basic.get shows a count of 0"
    RETURNS = "every requeue counts"
    FAILURES = "only basic.reject and the end of a channel count"


class Failure(StrEnum):
    """How the delivery of a message can fail, as far as dead letters carry it on."""

    REQUEUED = "basic.reject with requeue"
    REJECTED = "basic.reject"
    NACKED = "basic.nack"
    CHANNEL_ENDED = "the end of the channel"


class Deaths(StrEnum):
    """Where the earlier deaths of a dead letter are kept."""

    IN_HEADERS = "in its header x-death, which a publisher can set"
    APART = "apart from its headers; what a publisher sets is replaced"


class Priorities(StrEnum):
    """The order in which a quorum queue delivers messages of different priorities."""

    NONE = "that of publishing"
    STRICT = "the highest priority first"
    TWO_CLASSES = "two messages above priority 4, then one of the others"


TRANSIENT_QUEUES: Final = "transient_nonexcl_queues"
GLOBAL_QOS: Final = "global_qos"
MASTER_LOCATOR: Final = "queue_master_locator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The facts of one version.

    Attributes:
        version: the version that clients are told.
        mechanisms: the authentication mechanisms that connection.start offers.
        protocol_header: the reply to a protocol header that is not understood.
        understands_0_8: whether the protocol headers of AMQP 0-8 are understood.
        sasl_frame: the frame of AMQP 1.0 that follows the reply to its header for SASL, or empty.
        frame_max_lowest: the lowest frame_max of connection.tune-ok, and the limit of bytes of a
            frame before it.
        max_message_size: the limit of bytes of a body.
        refuses_long_bodies: whether a body longer than its header says ends the connection.
        has_default_queue_type: whether a virtual host has a type for queues without one.
        arguments: the table of queue and consumer arguments.
        sorts_headers: whether the headers of a message are sorted by name.
        checks_delivery_mode: whether delivery modes other than 1 and 2 are refused.
        checks_user_last: whether the user_id is checked after the expiration and the headers.
        encodes_expiration_twice: whether the text for an expiration that is no number shows the
            bytes of its characters.
        shows_latin_1: whether reply texts show bytes that are no UTF-8 as characters.
        finds_queues_at_once: whether the queues of a message are looked up when it is published,
            and not when a transaction is committed.
        has_credit: whether basic.credit and x-credit exist.
        compares_types: whether a headers exchange distinguishes integers and floats, and takes the
            timestamps of messages for milliseconds.
        unknown_exchange_type: the reply code for a type of exchanges that does not exist.
        exchange_types: the types that RabbitMQ has without plugins, besides those of AMQP.
        has_log_exchange: whether the virtual host ``/`` has the exchange amq.rabbitmq.log.
        known_words: types that reply texts call invalid instead of unknown.
        max_hashes: the limit of the words ``#`` in a topic binding; None is unlimited.
        delivery_counting: how quorum queues count deliveries.
        delivery_limit: the limit of quorum queues that were declared without one, or None.
        requeues_to_head: whether quorum queues requeue to the head even without a limit.
        priorities: the order of messages in quorum queues.
        activates_by_priority: whether a quorum queue gives a consumer of a higher priority the
            place of its single active consumer.
        has_delayed_retry: whether quorum queues hide requeued messages for some time.
        drops_in_order: whether quorum queues dead-letter dropped messages in their order.
        gives_credit_twice: whether a consumer gets the credit of a message twice that is dropped
            because of the delivery limit.
        counts_properties: whether the properties of a message count for x-max-length-bytes of a
            quorum queue.
        shares_prefetch: whether basic.qos with global=true limits all consumers together.
        deaths: where deaths are kept.
        reverses_classic_queues: whether classic queues receive a message in the descending order of
            their names.
        keeps_unknown_flags: whether flags of properties that do not exist are passed on.
        first_expiry_check: the seconds until a quorum queue is checked for the first time whether
            it has expired. The next checks follow every five seconds.
        purges_count_dead_letters: whether queue.purge-ok of a quorum queue counts the dead letters
            that the queue keeps.
        carried_failures: what a dead letter counts on in the next quorum queue, where it is
            redelivered then.
        counts_in_classic_queues: whether such failures are counted in classic queues, too, which
            redeliver such dead letters unless a consumer waits for them.
        dead_letters_reach_replies: whether a dead letter can be a direct reply.
        dead_letters_reach_streams: whether a stream accepts dead letters.
        reply_dots_count: whether several dots in a direct reply address are not as good as one.
        drops_foreign_replies: whether direct replies for another node are dropped; else they are an
            internal error.
        cancels_at_once: whether a consumer can be cancelled before its consume-ok.
        redelivers_after_restart: whether the messages of classic queues are redelivered then.
        has_reply_queues: whether a direct reply address is a queue, and not a process.
        streams_settle: whether streams accept basic.nack, basic.reject and basic.recover.
        streams_set_delivery_mode: whether a stream delivers messages with a delivery mode that
            were published without one.
        stream_noun: how a reply text names a stream that needs acknowledgements.
        filters_streams: whether streams know x-stream-filter.
        prefetch_noun: how reply texts name a stream that needs a prefetch count.
        quorum_noun: how reply texts name quorum queues.
        limits: what a limit of the whole broker can be set for.
        limit_text: how the reply text for too many channels writes the limit.
        limit_names_node: whether that text names the node in place of the user.
        names_permission: whether reply texts name the permission that is missing.
        passive_needs_permission: whether a passive declaration needs a permission.
        reuses_tags: whether a consumer of a quorum queue may have the tag of one whose deliveries
            are not acknowledged; else its first delivery crashes the channel.
        times_consumers: whether quorum queues cancel a consumer at the consumer timeout, and other
            queues have none; else the channel is closed.
        keeps_transient_exchanges: whether transient exchanges survive a restart.
        denied: the deprecated features that are refused.
        denied_upstream: those that RabbitMQ's own packages refuse, and Debian's permit.
    """

    version: str
    mechanisms: bytes = b"AMQPLAIN PLAIN"
    protocol_header: bytes = b"AMQP\x00\x00\x09\x01"
    understands_0_8: bool = True
    sasl_frame: bytes = b""
    frame_max_lowest: int = 4096
    max_message_size: int = 134_217_728
    refuses_long_bodies: bool = False
    has_default_queue_type: bool = False
    arguments: Arguments = Arguments.MIRRORED
    sorts_headers: bool = False
    checks_delivery_mode: bool = True
    checks_user_last: bool = False
    encodes_expiration_twice: bool = False
    shows_latin_1: bool = False
    finds_queues_at_once: bool = False
    has_credit: bool = True
    compares_types: bool = False
    unknown_exchange_type: int = 503
    exchange_types: frozenset[str] = frozenset()
    has_log_exchange: bool = False
    known_words: frozenset[str] = frozenset()
    max_hashes: int | None = None
    delivery_counting: DeliveryCounting = DeliveryCounting.RETURNS_FROM_ZERO
    delivery_limit: int | None = None
    requeues_to_head: bool = False
    priorities: Priorities = Priorities.NONE
    activates_by_priority: bool = False
    has_delayed_retry: bool = False
    drops_in_order: bool = False
    gives_credit_twice: bool = True
    counts_properties: bool = False
    shares_prefetch: bool = True
    deaths: Deaths = Deaths.IN_HEADERS
    reverses_classic_queues: bool = True
    keeps_unknown_flags: bool = True
    first_expiry_check: float = 5.0
    purges_count_dead_letters: bool = False
    carried_failures: frozenset[Failure] = frozenset()
    counts_in_classic_queues: bool = False
    dead_letters_reach_replies: bool = True
    dead_letters_reach_streams: bool = False
    reply_dots_count: bool = False
    drops_foreign_replies: bool = False
    cancels_at_once: bool = False
    redelivers_after_restart: bool = False
    has_reply_queues: bool = False
    streams_settle: bool = False
    streams_set_delivery_mode: bool = False
    filters_streams: bool = False
    stream_noun: str = "stream queues queue"
    prefetch_noun: str = "'queue {}'"
    quorum_noun: str = "quorum"
    limits: frozenset[str] = frozenset()
    limit_text: str = "({})"
    limit_names_node: bool = False
    names_permission: bool = False
    passive_needs_permission: bool = False
    reuses_tags: bool = False
    times_consumers: bool = False
    keeps_transient_exchanges: bool = False
    denied: frozenset[str] = frozenset()
    denied_upstream: frozenset[str] = frozenset()


_V3_10: Final = Profile(
    version="3.10.8",
    known_words=frozenset((" ", '"', "'", "unknown_type", *"ACFHMORt")),
)

# The facts without a release are those of a node of 4.0.5; they changed after 3.10.8.
_V4_0: Final = replace(
    _V3_10,
    version="4.0.5",
    known_words=frozenset(),
    mechanisms=b"ANONYMOUS PLAIN AMQPLAIN",  # 4.0.0: ANONYMOUS
    protocol_header=b"AMQP\x03\x01\x00\x00",  # 4.0.0: AMQP 1.0 on the same port
    understands_0_8=False,
    gives_credit_twice=False,
    sasl_frame=bytes.fromhex(
        "0000003402010000005340c02701e02403b3"
        "00000005504c41494e00000008414d51504c41494e00000009414e4f4e594d4f5553"
    ),
    max_message_size=16_777_216,  # 4.0.0
    has_default_queue_type=True,  # 3.11.0
    arguments=Arguments.UNMIRRORED,  # 4.0.0
    sorts_headers=True,  # 3.13.0: message containers, and the next seven
    checks_delivery_mode=False,
    checks_user_last=True,
    encodes_expiration_twice=True,
    keeps_unknown_flags=False,
    shows_latin_1=True,
    finds_queues_at_once=True,
    compares_types=True,
    streams_set_delivery_mode=True,
    has_credit=False,
    unknown_exchange_type=406,  # 3.13.3
    exchange_types=frozenset({"x-local-random"}),  # 4.0.0
    delivery_counting=DeliveryCounting.RETURNS,  # 3.12.0
    delivery_limit=20,  # 4.0.0
    carried_failures=frozenset({Failure.REJECTED, Failure.NACKED, Failure.CHANNEL_ENDED}),  # 4.0.0
    requeues_to_head=True,  # 4.0.0
    priorities=Priorities.TWO_CLASSES,  # 4.0.0
    activates_by_priority=True,  # 4.0.0
    deaths=Deaths.APART,  # 4.0.0
    dead_letters_reach_replies=False,
    reply_dots_count=True,
    drops_foreign_replies=True,
    redelivers_after_restart=True,
    dead_letters_reach_streams=True,  # 3.12.0
    reverses_classic_queues=False,
    reuses_tags=True,
    streams_settle=True,
    filters_streams=True,  # 3.13.0
    stream_noun="stream queue",
    prefetch_noun="stream queue {}",
    limits=frozenset({"connections", "channels", "queues"}),  # 3.12.14, 3.13.1: channels
    limit_names_node=True,
    names_permission=True,
)

# The facts without a release are those of a node of 4.3.6; they changed after 4.0.5.
_V4_3: Final = replace(
    _V4_0,
    version="4.3.6",
    frame_max_lowest=8192,  # 4.1.0
    refuses_long_bodies=True,
    arguments=Arguments.STRICT,  # 4.3.0
    exchange_types=frozenset({"x-local-random", "x-modulus-hash"}),  # 4.3.0
    has_log_exchange=True,
    known_words=frozenset({"I", "delayed", "x-random"}),
    max_hashes=2,  # 4.3.5
    first_expiry_check=0.01,
    purges_count_dead_letters=True,
    delivery_counting=DeliveryCounting.FAILURES,  # 4.3.0
    priorities=Priorities.STRICT,  # 4.3.0
    has_delayed_retry=True,  # 4.3.0
    drops_in_order=True,  # 4.2.1
    counts_properties=True,
    shares_prefetch=False,  # 4.3.0: global_qos is denied
    # 4.3.0: the next two
    carried_failures=frozenset({Failure.REQUEUED, Failure.REJECTED, Failure.CHANNEL_ENDED}),
    counts_in_classic_queues=True,
    dead_letters_reach_replies=True,
    has_reply_queues=True,  # 4.2.0
    cancels_at_once=True,
    redelivers_after_restart=False,
    quorum_noun='<<"quorum">>',
    limits=frozenset({"connections", "channels", "queues", "exchanges"}),  # 4.1.4: exchanges
    limit_text="{}",
    limit_names_node=False,
    passive_needs_permission=True,  # 4.3.1
    times_consumers=True,  # 4.3.0
    keeps_transient_exchanges=True,  # 4.2.0: Khepri
    denied=frozenset({GLOBAL_QOS, MASTER_LOCATOR}),  # 4.3.0
    denied_upstream=frozenset({TRANSIENT_QUEUES}),  # 4.3.0
)

DEFAULT_VERSION: Final = "4.3"
"""The version of a broker that is not asked for another one: the newest."""

_PROFILES: Final = {"3.10": _V3_10, "4.0": _V4_0, "4.3": _V4_3}

VERSIONS: Final[Mapping[str, Profile]] = MappingProxyType(
    _PROFILES | {profile.version: profile for profile in _PROFILES.values()}
)
"""The profiles by version: the short ones, and those of the nodes that they were compared with."""


def find_profile(version: str) -> Profile:
    """Return the profile of a version, such as ``4.3`` or ``4.3.6``.

    Raises:
        ValueError: there is none; the text lists the versions that there are.
    """
    profile = VERSIONS.get(version)
    if profile is None:
        known = ", ".join(VERSIONS)
        raise ValueError(f"there is no profile of RabbitMQ {version!r}; choose one of {known}")
    return profile
