"""Labels and docs become docstrings: each one exists, is meaningful and is plain text."""

import re
from collections.abc import Callable, Iterator

import amqp_spec

SPEC = amqp_spec.load()

Described = (
    amqp_spec.Constant | amqp_spec.Domain | amqp_spec.Class | amqp_spec.Method | amqp_spec.Field
)


def described() -> Iterator[tuple[str, Described]]:
    for constant in SPEC.constants:
        yield f"constant {constant.name}", constant
    for domain in SPEC.domains:
        yield f"domain {domain.name}", domain
    for cls in SPEC.classes:
        yield f"class {cls.name}", cls
        for field in cls.fields:
            yield f"property {cls.name}.{field.name}", field
        for method in cls.methods:
            yield f"method {cls.name}.{method.name}", method
            for field in method.fields:
                yield f"field {cls.name}.{method.name}.{field.name}", field


EVERYTHING = dict(described())


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def exceptions(rule: Callable[[Described], object]) -> list[str]:
    """List everything that violates a rule, for the message of the failure."""
    return [name for name, item in EVERYTHING.items() if not rule(item)]


def test_everything_that_the_specification_names_is_looked_at() -> None:
    kinds = [name.split()[0] for name in EVERYTHING]

    assert {kind: kinds.count(kind) for kind in kinds} == {
        "constant": 25,
        "domain": 24,
        "class": 7,
        "property": 14,
        "method": 64,
        "field": 141,
    }


def test_there_is_a_label_and_a_doc() -> None:
    assert exceptions(lambda item: item.label and item.doc) == []


def test_the_label_is_more_than_the_name() -> None:
    assert exceptions(lambda item: words(item.label) != words(item.name)) == []


def test_the_doc_is_more_than_the_label_or_the_name() -> None:
    def more(item: Described) -> bool:
        return words(item.doc) not in (words(item.label), words(item.name))

    assert exceptions(more) == []


def test_the_label_is_a_phrase_without_a_full_stop() -> None:
    def phrase(item: Described) -> bool:
        begins = item.label[0].islower() or item.label.startswith("MIME")
        return begins and not item.label.endswith(".")

    assert exceptions(phrase) == []


def test_the_doc_is_one_to_three_sentences() -> None:
    def sentences(item: Described) -> bool:
        begins, ends = item.doc[0].isupper() or item.doc[0].isdigit(), item.doc.endswith(".")
        return begins and ends and len(re.findall(r"\.(?= [A-Z0-9]|$)", item.doc)) <= 3

    assert exceptions(sentences) == []


def test_the_text_is_plain_ascii_without_markup() -> None:
    def plain(item: Described) -> bool:
        text = item.label + item.doc
        return text.isascii() and not re.search(r"[<>`\\]|\*\*|  ", text)

    assert exceptions(plain) == []


def test_no_field_is_described_by_its_type_alone() -> None:
    types = {d.label for d in SPEC.domains if d.name in amqp_spec.PRIMITIVE_TYPES}

    def told(item: Described) -> bool:
        return isinstance(item, amqp_spec.Domain) or item.label not in types

    assert exceptions(told) == []
