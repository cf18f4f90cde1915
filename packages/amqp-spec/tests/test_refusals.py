"""Every kind of error in the XML, with its line and message."""

from collections.abc import Callable
from pathlib import Path

import pytest

import amqp_spec

Load = Callable[[dict[str, str]], amqp_spec.Spec]

HEAD = '<amqp major="0" minor="9" revision="1" port="5672">\n'
TAIL = "\n</amqp>"
CHASSIS = '<chassis name="server"/>'


def in_method(text: str) -> str:
    """Return a file with a text inside a method, on line 3."""
    return (
        '<class name="a" index="1"><method name="m" index="1"><chassis name="server"/>\n'
        f"{text}</method></class>"
    )


REFUSED = {
    "unknown element": (
        "<rule/>",
        2,
        "rule does not belong in amqp, which holds constant and domain and class",
    ),
    "element in an element that holds none": (
        in_method('<response name="m"><doc/></response>'),
        3,
        "doc does not belong in response, which holds no elements",
    ),
    "known element in the wrong place": (
        '<class name="a" index="1">\n<response name="m"/></class>',
        3,
        "response does not belong in class, which holds doc and field and method",
    ),
    "second doc": (
        '<constant name="a" value="1"><doc>A.</doc>\n<doc>B.</doc></constant>',
        3,
        "constant has a doc already; join the two",
    ),
    "unknown attribute": (
        '<domain name="a" type="bit" size="1"/>',
        2,
        'domain has no attribute "size"; it has name and type and label',
    ),
    "attribute on an element that has none": (
        '<constant name="a" value="1">\n<doc lang="en">A.</doc></constant>',
        3,
        'doc has no attribute "lang"; it has none',
    ),
    "missing attribute": ('<constant name="a"/>', 2, 'constant needs the attribute "value"'),
    "missing name": ('<domain type="bit"/>', 2, 'domain needs the attribute "name"'),
    "missing index of a new class": ('<class name="a"/>', 2, 'class needs the attribute "index"'),
    "missing domain of a field": (
        in_method('<field name="f"/>'),
        3,
        'field needs the attribute "domain"',
    ),
    "missing chassis": (
        '<class name="a" index="1">\n<method name="m" index="1"/></class>',
        3,
        'method "m" needs a chassis, which names the receiver',
    ),
    "name that is not one": (
        '<domain name="No Wait" type="bit"/>',
        2,
        'name="No Wait" must be lower-case words and digits joined by hyphens',
    ),
    "number that is not one": (
        '<constant name="a" value="0x10"/>',
        2,
        'value="0x10" must be a whole number, digits only',
    ),
    "negative number": (
        '<constant name="a" value="-1"/>',
        2,
        'value="-1" must be a whole number, digits only',
    ),
    "constant out of range": (
        '<constant name="a" value="4294967296"/>',
        2,
        'value="4294967296" must be between 0 and 4294967295',
    ),
    "class index out of range": (
        '<class name="a" index="65536"/>',
        2,
        'index="65536" must be between 1 and 65535',
    ),
    "method index out of range": (
        f'<class name="a" index="1">\n<method name="m" index="0">{CHASSIS}</method></class>',
        3,
        'index="0" must be between 1 and 65535',
    ),
    "flag that is not one": (
        in_method('<field name="f" type="bit" reserved="yes"/>'),
        3,
        'reserved="yes" must be "1", or left out',
    ),
    "unknown error class": (
        '<constant name="a" value="1" class="fatal"/>',
        2,
        'class="fatal" must be one of soft-error, hard-error',
    ),
    "unknown receiver": (
        in_method('<chassis name="proxy"/>'),
        3,
        'name="proxy" must be one of client, server',
    ),
    "unknown domain": (
        in_method('<field name="f" domain="nowhere"/>'),
        3,
        'there is no domain "nowhere"; define it, or correct the name',
    ),
    "unknown primitive type of a domain": (
        '<domain name="a" type="float"/>',
        2,
        (
            'type="float" must be one of bit, long, longlong, longstr, octet, short, shortstr, table, '
            "timestamp"
        ),
    ),
    "unknown primitive type of a field": (
        in_method('<field name="f" type="float"/>'),
        3,
        (
            'type="float" must be one of bit, long, longlong, longstr, octet, short, shortstr, table, '
            "timestamp"
        ),
    ),
    "primitive type turned into another": (
        '<domain name="bit" type="octet"/>',
        2,
        'domain "bit" must have the type of its own name',
    ),
    "domain and type": (
        in_method('<field name="f" domain="bit" type="bit"/>'),
        3,
        'field "f" must have a domain or a type, not both',
    ),
    "constant twice": (
        '<constant name="a" value="1"/>\n<constant name="a" value="2"/>',
        3,
        'constant "a" is already defined on line 2; remove or rename one of the two',
    ),
    "domain twice": (
        '<domain name="a" type="bit"/>\n<domain name="a" type="bit"/>',
        3,
        'domain "a" is already defined on line 2; remove or rename one of the two',
    ),
    "class twice": (
        '<class name="a" index="1"/>\n<class name="a" index="1"/>',
        3,
        'class "a" is already defined on line 2; remove or rename one of the two',
    ),
    "method twice": (
        (
            f'<class name="a" index="1"><method name="m" index="1">{CHASSIS}</method>\n'
            f'<method name="m" index="2">{CHASSIS}</method></class>'
        ),
        3,
        'method "m" is already defined on line 2; remove or rename one of the two',
    ),
    "field of a method twice": (
        in_method('<field name="f" type="bit"/>\n<field name="f" type="long"/>'),
        4,
        'field "f" is already defined on line 3; remove or rename one of the two',
    ),
    "content property twice": (
        (
            '<class name="a" index="1"><field name="f" type="bit"/>\n'
            '<field name="f" type="bit"/></class>'
        ),
        3,
        'field "f" is already defined on line 2; remove or rename one of the two',
    ),
    "response twice": (
        in_method('<response name="m"/>\n<response name="m"/>'),
        4,
        'response "m" is already defined on line 3; remove or rename one of the two',
    ),
    "receiver twice": (
        in_method('<chassis name="server"/>'),
        3,
        'chassis "server" is already defined on line 2; remove or rename one of the two',
    ),
    "two classes with one index": (
        '<class name="a" index="1"/>\n<class name="b" index="1"/>',
        3,
        'index="1" is taken by class "a" (FILE:2)',
    ),
    "two methods with one index": (
        (
            f'<class name="a" index="1"><method name="m" index="1">{CHASSIS}</method>\n'
            f'<method name="n" index="1">{CHASSIS}</method></class>'
        ),
        3,
        'index="1" is taken by method "m" (FILE:2)',
    ),
    "response that does not exist": (
        in_method('<response name="m-ok"/>'),
        3,
        'class "a" has no method "m-ok" to respond with',
    ),
    "text between elements": (
        '<class name="a" index="1">\n\n  stray words\n</class>',
        4,
        'text does not belong in class: "stray words"; put it in a doc or a comment',
    ),
    "text in an element that only has attributes": (
        in_method('<response name="m">\nm</response>'),
        4,
        'text does not belong in response: "m"; put it in a doc or a comment',
    ),
    "malformed XML": ('<class name="a">\n</clas>', 3, "the XML is malformed: mismatched tag"),
}


@pytest.mark.parametrize(("text", "line", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_a_mistake_is_reported_with_its_line(
    load: Load, tmp_path: Path, text: str, line: int, sentence: str
) -> None:
    base = tmp_path / "amqp0-9-1.xml"

    with pytest.raises(amqp_spec.SpecError) as raised:
        load({"amqp0-9-1.xml": HEAD + text + TAIL})

    assert str(raised.value) == f"{base}:{line}: {sentence.replace('FILE', str(base))}"


WHOLE_FILES = {
    "nothing": ("", 1, "the XML is malformed: no element found"),
    "unclosed": (HEAD, 2, "the XML is malformed: no element found"),
    "another root": ("<spec/>", 1, "the outermost element must be amqp, not spec"),
    "no version": (
        '<amqp minor="9" revision="1" port="1"/>',
        1,
        'amqp needs the attribute "major"',
    ),
    "no port": ('<amqp major="0" minor="9" revision="1"/>', 1, 'amqp needs the attribute "port"'),
    "port out of range": (
        '<amqp major="0" minor="9" revision="1" port="0"/>',
        1,
        'port="0" must be between 1 and 65535',
    ),
    "version out of range": (
        '<amqp major="0" minor="256" revision="1" port="1"/>',
        1,
        'minor="256" must be between 0 and 255',
    ),
    "document type": (
        f"<!DOCTYPE amqp SYSTEM 'amqp.dtd'>{HEAD}{TAIL}",
        1,
        "remove the DOCTYPE: entities and DTDs are not read",
    ),
    "text in the root": (
        f"{HEAD}hello{TAIL}",
        2,
        'text does not belong in amqp: "hello"; put it in a doc or a comment',
    ),
}


@pytest.mark.parametrize(("text", "line", "sentence"), WHOLE_FILES.values(), ids=WHOLE_FILES.keys())
def test_a_file_that_is_no_specification_is_refused(
    load: Load, tmp_path: Path, text: str, line: int, sentence: str
) -> None:
    with pytest.raises(amqp_spec.SpecError) as raised:
        load({"amqp0-9-1.xml": text})

    assert str(raised.value) == f"{tmp_path / 'amqp0-9-1.xml'}:{line}: {sentence}"


OVERLAYS = {
    "class with another index": (
        '<amqp major="0" minor="9" revision="1">\n<class name="a" index="2"/></amqp>',
        2,
        'class "a" must keep the index 1 that it has in BASE:2',
    ),
    "class that takes an index": (
        '<amqp major="0" minor="9" revision="1">\n<class name="b" index="1"/></amqp>',
        2,
        'index="1" is taken by class "a" (BASE:2)',
    ),
    "method that takes an index": (
        (
            '<amqp major="0" minor="9" revision="1"><class name="a">\n'
            f'<method name="n" index="1">{CHASSIS}</method></class></amqp>'
        ),
        2,
        'index="1" is taken by method "m" (BASE:2)',
    ),
    "new class without an index": (
        '<amqp major="0" minor="9" revision="1">\n<class name="b"/></amqp>',
        2,
        'class needs the attribute "index"',
    ),
    "another protocol": (
        '<amqp major="0" minor="10" revision="1"/>',
        1,
        'minor="10" must be "9", as in amqp0-9-1.xml',
    ),
    "another port": (
        '<amqp major="0" minor="9" revision="1" port="5671"/>',
        1,
        'port="5671" must be "5672", as in amqp0-9-1.xml',
    ),
    "no protocol": (
        '<amqp major="0" minor="9"/>',
        1,
        'amqp needs the attribute "revision"',
    ),
    "malformed": ("<amqp", 1, "the XML is malformed: unclosed token"),
}


@pytest.mark.parametrize(("text", "line", "sentence"), OVERLAYS.values(), ids=OVERLAYS.keys())
def test_a_mistake_in_an_overlay_is_reported_there(
    load: Load, tmp_path: Path, text: str, line: int, sentence: str
) -> None:
    base, overlay = tmp_path / "amqp0-9-1.xml", tmp_path / "more.xml"
    method = f'<class name="a" index="1"><method name="m" index="1">{CHASSIS}</method></class>'

    with pytest.raises(amqp_spec.SpecError) as raised:
        load({"amqp0-9-1.xml": HEAD + method + TAIL, "more.xml": text})

    assert str(raised.value) == f"{overlay}:{line}: {sentence.replace('BASE', str(base))}"


def test_a_response_may_be_defined_in_an_overlay(load: Load) -> None:
    base = in_method('<response name="m-ok"/>')
    overlay = (
        '<amqp major="0" minor="9" revision="1"><class name="a">'
        '<method name="m-ok" index="2"><chassis name="client"/></method></class></amqp>'
    )

    spec = load({"amqp0-9-1.xml": HEAD + base + TAIL, "more.xml": overlay})

    assert spec.classes[0].methods[0].responses == ("m-ok",)


def test_a_folder_without_the_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(amqp_spec.SpecError) as raised:
        amqp_spec.load(tmp_path)

    base = tmp_path / "amqp0-9-1.xml"
    assert str(raised.value) == f"{base}:1: the file cannot be read: No such file or directory"


def test_a_folder_in_place_of_a_file_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "more.xml").mkdir()

    with pytest.raises(amqp_spec.SpecError) as raised:
        load({"amqp0-9-1.xml": HEAD + TAIL})

    assert (
        str(raised.value) == f"{tmp_path / 'more.xml'}:1: the file cannot be read: Is a directory"
    )


def test_the_message_is_all_an_error_says() -> None:
    error = amqp_spec.SpecError("a.xml:1: no")

    assert (str(error), error.message) == ("a.xml:1: no", "a.xml:1: no")
