"""The cases of the codec's benchmark, for one build of the codec; prints JSON."""

import json
from timeit import Timer
from typing import Any

from pamqp import body, commands, frame, header

from amqp_codec import Command, Decoder, Properties, basic, encode_command

ROUNDS, CALLS = 15, 2000
BODY = b"x" * 100
VALUES = {
    "content_type": "application/json",
    "delivery_mode": 2,
    "correlation_id": "9f0c1e7a-52d4",
    "message_id": "7d3b8c64-0e1f-4c5d-9a6b",
}
WITH_HEADERS = {
    "content_type": "application/json",
    "delivery_mode": 2,
    "headers": {"attempt": 3, "tenant": "blue"},
    "message_id": "7d3b8c64-0e1f-4c5d-9a6b",
}


def pairs(ours: str, theirs: str, names: dict[str, object]) -> list[tuple[float, float]]:
    """Time two statements alternately; return the seconds per call of each."""
    timers = [Timer(statement, globals={**globals(), **names}) for statement in (ours, theirs)]
    for timer in timers:
        timer.timeit(CALLS)
    return [
        (timers[0].timeit(CALLS) / CALLS, timers[1].timeit(CALLS) / CALLS) for _ in range(ROUNDS)
    ]


def marshal(
    method: commands.Basic.Publish, properties: commands.Basic.Properties, data: bytes
) -> bytes:
    """Encode a publish with pamqp, as its users do."""
    return (
        frame.marshal(method, 1)
        + frame.marshal(header.ContentHeader(0, len(data), properties), 1)
        + frame.marshal(body.ContentBody(data), 1)
    )


def unmarshal(data: bytes) -> list[object]:
    """Decode the three frames of a delivery with pamqp, as its users do."""
    found: list[object] = []
    while data:
        size, _, value = frame.unmarshal(data)
        data = data[size:]
        found.append(value)
    return found


def encoding(values: dict[str, Any]) -> list[tuple[float, float]]:
    """Encode an existing publish."""
    names: dict[str, object] = {
        "command": Command(1, basic.Publish("orders", "eu.new"), Properties(**values), BODY),
        "publish": commands.Basic.Publish(0, "orders", "eu.new"),
        "properties": commands.Basic.Properties(**values),
    }
    return pairs("encode_command(command)", "marshal(publish, properties, BODY)", names)


def making_and_encoding() -> list[tuple[float, float]]:
    """Create the objects and encode them."""
    return pairs(
        "encode_command(Command(1, basic.Publish('orders', 'eu.new'), Properties(**VALUES), BODY))",
        "marshal(commands.Basic.Publish(0, 'orders', 'eu.new'),"
        " commands.Basic.Properties(**VALUES), BODY)",
        {},
    )


def decoding(values: dict[str, Any]) -> list[tuple[float, float]]:
    """Decode a delivery."""
    deliver = basic.Deliver("ctag1.9f0c1e7a52d4", 12345, False, "orders", "eu.new")
    data = encode_command(Command(1, deliver, Properties(**values), BODY))
    return pairs("feed(data)", "unmarshal(data)", {"feed": Decoder(131072).feed, "data": data})


print(
    json.dumps(
        {
            "encode a publish": encoding(VALUES),
            "encode a publish with headers": encoding(WITH_HEADERS),
            "make and encode a publish": making_and_encoding(),
            "decode a delivery": decoding(VALUES),
            "decode a delivery with headers": decoding(WITH_HEADERS),
        }
    )
)
