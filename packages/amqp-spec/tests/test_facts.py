"""The XML compared with the facts of AMQP 0-9-1 and RabbitMQ in facts.txt."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import amqp_spec

FACTS = Path(__file__).with_name("facts.txt")


def lines(spec: amqp_spec.Spec) -> Iterator[str]:
    """Return a specification in the format of facts.txt."""
    yield f"protocol {spec.major}-{spec.minor}-{spec.revision} port {spec.port}"
    for constant in spec.constants:
        yield f"constant {constant.name} {constant.value} {constant.kind or ''}".rstrip()
    for domain in spec.domains:
        yield f"domain {domain.name} {domain.type}"
    for cls in spec.classes:
        yield f"class {cls.index} {cls.name} | {fields(cls.fields)}".rstrip()
        for method in cls.methods:
            words = (
                f"{method.class_index}.{method.index} {method.class_name}.{method.name}",
                "sync" if method.synchronous else "",
                "content" if method.content else "",
                "->",
                *sorted(method.receivers),
                f"({' '.join(method.responses)})" if method.responses else "",
                "|",
                fields(method.fields),
            )
            yield " ".join(word for word in words if word)


def fields(fields: Sequence[amqp_spec.Field]) -> str:
    return " ".join(f"{f.name}:{f.type}{'!' if f.reserved else ''}" for f in fields)


def facts() -> list[str]:
    text = FACTS.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_xml_says_what_the_facts_say() -> None:
    found = sorted(lines(amqp_spec.load()))

    assert found == sorted(facts())


def test_the_facts_are_complete() -> None:
    """The counts are those of the protocol, so the list cannot be shortened by accident."""
    kinds = [line.split()[0] for line in facts()]

    assert kinds.count("constant") == 25
    assert kinds.count("domain") == 24
    assert kinds.count("class") == 7
    assert sum("." in kind for kind in kinds) == 64


def test_what_is_published_comes_without_the_overlay(tmp_path: Path) -> None:
    base, overlay = amqp_spec.sources()
    (tmp_path / base.name).write_bytes(base.read_bytes())

    published = set(lines(amqp_spec.load(tmp_path)))

    assert overlay.name == "rabbitmq.xml"
    assert not any(line.startswith("class 85 confirm") for line in published)
    assert "constant no-route 312 soft-error" not in published
    assert "60.80 basic.ack -> server | delivery-tag:longlong multiple:bit" in published
    assert (
        "40.10 exchange.declare sync -> server (declare-ok) | reserved-1:short! exchange:shortstr "
        "type:shortstr passive:bit durable:bit reserved-2:bit! reserved-3:bit! no-wait:bit "
        "arguments:table"
    ) in published
