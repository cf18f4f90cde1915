"""The result of load() for one file and for several."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

import amqp_spec

Load = Callable[[dict[str, str]], amqp_spec.Spec]

BASE = """\
<amqp major="0" minor="9" revision="1" port="5672">
  <constant name="not-found" value="404" class="soft-error" label="absent"><doc>Gone.</doc></constant>
  <domain name="name" type="shortstr" label="a name"><doc>At most
     255 octets.</doc></domain>
  <domain name="bit" type="bit"/>
  <class name="shelf" index="10" label="a place for books">
    <doc>Holds books.</doc>
    <field name="owner" domain="name"/>
    <field name="width" domain="octet"/>
    <method name="put" index="20" synchronous="1" content="1" label="put a book">
      <doc>It stays there.</doc>
      <chassis name="server"/>
      <response name="put-ok"/>
      <response name="full"/>
      <field name="reserved-1" type="short" reserved="1"/>
      <field name="title" domain="name" label="the title"/>
      <field name="upright" domain="bit" reserved="0"/>
    </method>
    <method name="put-ok" index="21"><chassis name="client"/></method>
    <method name="full" index="22"><chassis name="client"/><chassis name="server"/></method>
  </class>
</amqp>
"""


def overlay(text: str) -> str:
    return f'<amqp major="0" minor="9" revision="1">\n{text}\n</amqp>'


def method(spec: amqp_spec.Spec, name: str) -> amqp_spec.Method:
    return next(m for c in spec.classes for m in c.methods if m.name == name)


def test_a_file_becomes_what_it_says(load: Load, tmp_path: Path) -> None:
    spec = load({"amqp0-9-1.xml": BASE})

    def at(line: int) -> amqp_spec.Source:
        return amqp_spec.Source(tmp_path / "amqp0-9-1.xml", line)

    name = amqp_spec.Domain("name", "shortstr", "a name", "At most 255 octets.", at(3))
    owner = amqp_spec.Field(
        name="owner",
        domain="name",
        type="shortstr",
        reserved=False,
        label="a name",
        doc="At most 255 octets.",
        source=at(8),
    )
    ticket = amqp_spec.Field("reserved-1", "short", "short", True, "", "", at(15))
    title = dataclasses.replace(owner, name="title", label="the title", source=at(16))
    upright = amqp_spec.Field("upright", "bit", "bit", False, "", "", at(17))
    put = amqp_spec.Method(
        name="put",
        index=20,
        class_name="shelf",
        class_index=10,
        synchronous=True,
        content=True,
        responses=("put-ok", "full"),
        receivers=("server",),
        fields=(ticket, title, upright),
        label="put a book",
        doc="It stays there.",
        source=at(10),
    )
    assert (spec.major, spec.minor, spec.revision, spec.port) == (0, 9, 1, 5672)
    assert spec.constants == (
        amqp_spec.Constant("not-found", 404, "soft-error", "absent", "Gone.", at(2)),
    )
    assert spec.domains == (name, amqp_spec.Domain("bit", "bit", "", "", at(5)))
    shelf = spec.classes[0]
    assert (shelf.name, shelf.index, shelf.label, shelf.doc) == (
        "shelf",
        10,
        "a place for books",
        "Holds books.",
    )
    assert shelf.fields == (
        owner,
        amqp_spec.Field("width", "octet", "octet", False, "", "", at(9)),
    )
    assert shelf.methods[0] == put
    assert [m.receivers for m in shelf.methods] == [
        ("server",),
        ("client",),
        ("client", "server"),
    ]


def test_an_overlay_adds_methods_to_a_class_it_repeats(load: Load) -> None:
    added = '<class name="shelf"><method name="dust" index="30"><chassis name="server"/></method></class>'

    spec = load({"amqp0-9-1.xml": BASE, "more.xml": overlay(added)})

    assert [m.name for m in spec.classes[0].methods] == ["put", "put-ok", "full", "dust"]
    assert method(spec, "dust").class_index == 10
    assert spec.classes[0].label == "a place for books"
    assert spec.classes[0].source.path.name == "amqp0-9-1.xml"
    assert method(spec, "dust").source.path.name == "more.xml"


def test_an_overlay_replaces_a_method_as_a_whole_and_in_its_place(load: Load) -> None:
    changed = """<class name="shelf" index="10">
      <method name="put" index="20"><chassis name="client"/><field name="x" type="bit"/></method>
    </class>"""

    spec = load({"amqp0-9-1.xml": BASE, "more.xml": overlay(changed)})

    put = spec.classes[0].methods[0]
    assert put.name == "put"
    assert (put.receivers, put.responses, put.label) == (("client",), (), "")
    assert (put.synchronous, put.content) == (False, False)
    assert [f.name for f in put.fields] == ["x"]


def test_an_overlay_replaces_content_properties_only_if_it_has_any(load: Load) -> None:
    nothing = '<class name="shelf" index="10" label="planks"/>'
    depth = '<class name="shelf" index="10"><field name="depth" type="octet"/></class>'

    without = load({"amqp0-9-1.xml": BASE, "more.xml": overlay(nothing)})
    replaced = load({"amqp0-9-1.xml": BASE, "more.xml": overlay(depth)})

    assert [f.name for f in without.classes[0].fields] == ["owner", "width"]
    assert (without.classes[0].label, without.classes[0].doc) == ("planks", "Holds books.")
    assert [f.name for f in replaced.classes[0].fields] == ["depth"]


def test_an_overlay_adds_constants_domains_and_classes_and_replaces_the_first_two(
    load: Load,
) -> None:
    text = """
      <constant name="not-found" value="405"/>
      <constant name="lost" value="406"/>
      <domain name="name" type="longstr"/>
      <domain name="size" type="long"/>
      <class name="lamp" index="20"/>
    """

    spec = load({"amqp0-9-1.xml": BASE, "more.xml": overlay(text)})

    assert [(c.name, c.value, c.kind) for c in spec.constants] == [
        ("not-found", 405, None),
        ("lost", 406, None),
    ]
    assert [(d.name, d.type) for d in spec.domains] == [
        ("name", "longstr"),
        ("bit", "bit"),
        ("size", "long"),
    ]
    assert [c.name for c in spec.classes] == ["shelf", "lamp"]
    assert spec.classes[0].fields[0].type == "longstr"


def test_overlays_are_merged_in_name_order_after_the_base(load: Load, tmp_path: Path) -> None:
    late = overlay('<constant name="lost" value="2"/>')
    early = overlay('<constant name="lost" value="1"/>')

    spec = load({"zz.xml": late, "aa.xml": early, "amqp0-9-1.xml": BASE})

    assert [p.name for p in amqp_spec.sources(tmp_path)] == ["amqp0-9-1.xml", "aa.xml", "zz.xml"]
    assert [c.value for c in spec.constants if c.name == "lost"] == [2]


def test_a_file_that_is_not_xml_by_name_is_left_alone(load: Load) -> None:
    assert load({"amqp0-9-1.xml": BASE, "notes.txt": "<amqp"}).port == 5672


def test_comments_and_processing_instructions_are_no_text(load: Load) -> None:
    text = BASE.replace("<class", "<!-- a remark --><?editor wide?><class")

    assert load({"amqp0-9-1.xml": text}).classes[0].name == "shelf"


def test_the_model_is_frozen_and_slotted() -> None:
    spec = amqp_spec.load()
    first = spec.classes[0].methods[0]
    instances = (spec, spec.constants[0], spec.domains[0], spec.classes[0], first, first.fields[0])

    for instance in instances:
        names = [f.name for f in dataclasses.fields(instance)]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(instance, names[0], "changed")
        assert not hasattr(instance, "__dict__")
        assert not any(isinstance(getattr(instance, name), list) for name in names)


def test_equal_files_load_to_equal_specs() -> None:
    assert amqp_spec.load() == amqp_spec.load()
    assert hash(amqp_spec.load()) == hash(amqp_spec.load())
