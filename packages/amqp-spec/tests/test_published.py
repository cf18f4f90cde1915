"""What the published files have besides the elements and attributes of this package's own."""

from pathlib import Path

import pytest

import amqp_spec

# Our own words; every element and attribute that the published files of 0-9-1 and RabbitMQ's extended one have.
PUBLISHED = """\
<amqp major="0" minor="9" revision="1" port="5672" comment="a protocol">
  <constant name="absent" value="404" class="soft-error"><doc>Gone.</doc></constant>
  <domain name="title" type="shortstr" label="a title">
    <doc>Of a book.</doc>
    <rule name="not two"><doc>Only one.</doc><doc type="scenario">Send two.</doc></rule>
    <assert check="length" value="127"/>
    <assert check="notnull"/>
  </domain>
  <class name="shelf" handler="channel" index="10" label="a place for books">
    <doc>Holds books.</doc>
    <doc type="grammar">shelf = C:PUT</doc>
    <chassis name="server" implement="MUST"/>
    <chassis name="client" implement="MAY"/>
    <rule name="01" on-failure="absent"><doc>Strong.</doc><doc>And dry.</doc></rule>
    <field name="width" domain="octet" label="in inches"/>
    <method name="put" index="20" synchronous="1" deprecated="1">
      put a book
      <doc>It stays there.</doc>
      <rule name="one"><doc>One at a time.</doc></rule>
      <chassis name="server" implement="SHOULD"/>
      <response name="put-ok"/>
      <field name="title" domain="title">
        of the book
        <rule name="printed"><doc>No handwriting.</doc></rule>
        <assert check="le" method="put" field="title"/>
      </field>
    </method>
    <method name="put-ok" index="21" label="it is there"><chassis name="client"/></method>
  </class>
</amqp>
"""


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A file as they are published, beside another one that is no part of it."""
    (tmp_path / "other.xml").write_text("<unrelated/>")
    path = tmp_path / "published.xml"
    path.write_text(PUBLISHED)
    return path


def test_a_published_file_is_loaded_as_it_is(published: Path) -> None:
    [shelf] = amqp_spec.load(published).classes
    put, put_ok = shelf.methods
    [title] = put.fields

    assert (shelf.index, shelf.label, shelf.doc) == (10, "a place for books", "Holds books.")
    assert (put.label, put.doc, put.responses) == ("put a book", "It stays there.", ("put-ok",))
    assert (put.receivers, put_ok.receivers) == (("server",), ("client",))
    assert (title.type, title.label, title.doc) == ("shortstr", "of the book", "Of a book.")
    assert put_ok.label == "it is there"


def test_a_file_is_read_without_those_beside_it(published: Path) -> None:
    assert amqp_spec.sources(published) == (published,)


@pytest.mark.parametrize(
    ("known", "unknown", "sentence"),
    [
        ("handler=", "handle=", 'class has no attribute "handle"; it has name and index and label'),
        ("implement=", "must=", 'chassis has no attribute "must"; it has name'),
        ("<assert", "<asserts", "asserts does not belong in domain, which holds doc"),
        ('check="length"', 'test="length"', 'assert has no attribute "test"; it has check'),
        ("<rule name=", "<rule id=", 'rule has no attribute "id"; it has name'),
        ('there">', 'there">here', 'text does not belong in method: "here"'),
    ],
)
def test_what_is_unknown_is_refused_in_a_published_file_too(
    published: Path, known: str, unknown: str, sentence: str
) -> None:
    published.write_text(PUBLISHED.replace(known, unknown))

    with pytest.raises(amqp_spec.SpecError) as raised:
        amqp_spec.load(published)

    path, line, text = str(raised.value).split(":", 2)
    assert path == str(published)
    assert 1 < int(line) < len(PUBLISHED.splitlines())
    assert text.strip().startswith(sentence)
