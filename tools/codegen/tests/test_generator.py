"""The generator: its output, its check, and what is needed for a new method."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import amqp_spec
from command import PAGES, ROOT, SPEC, TARGET, main
from names import attribute_name, class_name, constant_name, local_name, property_name
from pages import render_pages
from plan import Bit, group, plan, replies_first
from prose import describe
from render import render

GOLDEN = Path(__file__).with_name("golden")


def field(name: str, wire_type: str, *, reserved: bool = False) -> amqp_spec.Field:
    source = amqp_spec.Source(Path("x.xml"), 1)
    return amqp_spec.Field(name, wire_type, wire_type, reserved, "label", "doc", source)


def test_the_golden_protocol_is_generated_as_reviewed() -> None:
    """To accept a change, run: python tools/codegen --spec tools/codegen/tests/golden/spec
    --target tools/codegen/tests/golden/protocol --pages tools/codegen/tests/golden/pages
    """
    expected = {path.name: path.read_text() for path in (GOLDEN / "protocol").glob("*.py")}

    assert render(GOLDEN / "spec") == expected


def test_the_pages_of_the_golden_protocol_are_generated_as_reviewed() -> None:
    expected = {path.name: path.read_text() for path in (GOLDEN / "pages").glob("*.md")}

    assert render_pages(GOLDEN / "spec") == expected


def test_everything_in_the_protocol_has_an_anchor_of_its_own() -> None:
    spec, pages = amqp_spec.load(SPEC), render_pages(SPEC)

    def anchors(page: str) -> list[str]:
        return re.findall(r"\{ #(\S+) \}", pages[page])

    for cls in spec.classes:
        expected = [cls.name, *(f"{cls.name}.{method.name}" for method in cls.methods)]
        expected += [
            f"{cls.name}.{method.name}.{field.name}"
            for method in cls.methods
            for field in method.fields
        ]
        if cls.fields:
            home = f"{cls.name}.properties"
            expected += [home, *(f"{home}.{field.name}" for field in cls.fields)]
        assert sorted(anchors(f"{cls.name}.md")) == sorted(expected)
    expected = ["reply-codes", "constants", "domains"]
    expected += [f"domain.{domain.name}" for domain in spec.domains]
    for constant in spec.constants:
        is_code = constant.kind is not None or constant.name == "reply-success"
        expected.append(f"{'reply-code' if is_code else 'constant'}.{constant.name}")
    assert sorted(anchors("index.md")) == sorted(expected)


def test_a_text_cannot_be_taken_for_markdown(tmp_path: Path) -> None:
    text = (GOLDEN / "spec/amqp0-9-1.xml").read_text()
    (tmp_path / "amqp0-9-1.xml").write_text(
        text.replace("Anything.", "a_b | *c* [d] `e` &lt;f&gt; \\g")
    )

    page = render_pages(tmp_path)["door.md"]

    assert r"A\_b \| \*c\* \[d\] \`e\` \<f\> \\g. |" in page


def test_the_generated_folder_is_what_would_be_generated_now(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_generating_twice_gives_the_same_text() -> None:
    assert render(SPEC) == render(SPEC)


def test_check_prints_a_diff_and_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "protocol"
    shutil.copytree(TARGET, target, ignore=shutil.ignore_patterns("__pycache__"))
    stale = target / "basic.py"
    stale.write_text(stale.read_text().replace("class Ack(", "class Akk("))
    (target / "tx.py").unlink()
    (target / "extra.py").write_text("")

    assert main(["--check", "--target", str(target)]) == 1

    out = capsys.readouterr().out
    assert "-class Akk(Method):\n+class Ack(Method):" in out
    assert "protocol/tx.py (as generated)" in out
    assert "3 generated files are stale. Run: hatch run codegen" in out
    assert not (target / "tx.py").exists()


def test_check_compares_the_pages_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = tmp_path / "pages"
    shutil.copytree(PAGES, pages)
    stale = pages / "tx.md"
    stale.write_text(stale.read_text().replace("# tx ", "# tx-1 "))

    assert main(["--check", "--pages", str(pages)]) == 1

    out = capsys.readouterr().out
    assert "-# tx-1 { #tx }\n+# tx { #tx }" in out
    assert "1 generated files are stale. Run: hatch run codegen" in out


def test_writing_leaves_exactly_the_generated_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "left_over.py").write_text("")

    assert main(["--target", str(tmp_path)]) == 0

    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in TARGET.glob("*.py")}
    assert "Wrote 9 files" in capsys.readouterr().out


def test_a_faulty_specification_is_reported_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (GOLDEN / "spec/amqp0-9-1.xml").read_text()
    (tmp_path / "amqp0-9-1.xml").write_text(
        text.replace('response name="open-ok"', 'response name="x"')
    )

    assert main(["--spec", str(tmp_path), "--target", str(tmp_path / "out")]) == 2

    assert "amqp0-9-1.xml:26: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


OVERLAY = """<?xml version="1.0" encoding="UTF-8"?>
<amqp major="0" minor="9" revision="1">
  <class name="queue" index="50">
    <method name="peek" index="60" synchronous="1" label="look at a queue">
      <doc>For a test.</doc>
      <chassis name="server"/>
      <response name="peek-ok"/>
      <field name="offset" type="longlong" label="offset"><doc>A name that generated code uses.</doc></field>
      <field name="size" type="shortstr" label="size"><doc>Another one.</doc></field>
      <field name="import" type="bit" label="keyword"><doc>A reserved word.</doc></field>
      <field name="b2" type="bit" label="b2"><doc>A bit.</doc></field>
      <field name="b3" type="bit" label="b3"><doc>A bit.</doc></field>
      <field name="b4" type="bit" label="b4"><doc>A bit.</doc></field>
      <field name="b5" type="bit" label="b5"><doc>A bit.</doc></field>
      <field name="b6" type="bit" label="b6"><doc>A bit.</doc></field>
      <field name="b7" type="bit" label="b7"><doc>A bit.</doc></field>
      <field name="b8" type="bit" label="b8"><doc>A bit.</doc></field>
      <field name="bits" type="bit" label="b9"><doc>The ninth.</doc></field>
      <field name="data" type="longstr" label="data"><doc>Bytes.</doc></field>
      <field name="reserved-1" type="table" reserved="1" label="reserved"><doc>Empty.</doc></field>
      <field name="since" type="timestamp" label="since"><doc>Seconds.</doc></field>
      <field name="end" type="table" label="end"><doc>A table.</doc></field>
    </method>
    <method name="peek-ok" index="61" synchronous="1" content="1" label="show a queue">
      <doc>For a test.</doc>
      <chassis name="client"/>
      <field name="count" type="short" label="count"><doc>A number.</doc></field>
    </method>
  </class>
</amqp>
"""
USE = """
from datetime import UTC, datetime
from amqp_codec import METHODS, Command, Decoder, Properties, encode_command, queue
peek = queue.Peek(7, "s", True, b8=True, bits=True, data=b"xyz", since=datetime.fromtimestamp(5, UTC), end={"a": 1})
assert METHODS[50 << 16 | 60] is queue.Peek and queue.Peek.REPLIES == (queue.PeekOk,)
encoded = encode_command(Command(3, peek))
expected = b"\\0\\x32\\0\\x3c" + (7).to_bytes(8, "big") + b"\\1s\\x81\\1\\0\\0\\0\\3xyz" + bytes(4 + 7) + b"\\5"
assert encoded[7:].startswith(expected), encoded
shown = Command(3, queue.PeekOk(2))
commands = Decoder().feed(encoded + encode_command(shown))
assert [command.method for command in commands] == [peek, shown.method]
try:
    queue.PeekOk(70000).encode()
except ValueError as error:
    print(error)
"""


def test_a_method_in_an_overlay_is_all_that_a_new_method_takes(tmp_path: Path) -> None:
    spec, package = tmp_path / "spec", tmp_path / "amqp_codec"
    spec.mkdir()
    for source in SPEC.glob("*.xml"):
        shutil.copy(source, spec)
    (spec / "zz-peek.xml").write_text(OVERLAY)
    shutil.copytree(TARGET.parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    assert main(["--spec", str(spec), "--target", str(package / "protocol")]) == 0

    command = [sys.executable, "-W", "error", "-c", USE]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout == "queue.peek-ok.count: must be 0 to 65535, not 70000\n", done.stderr
    assert "zz-peek.xml" in (package / "protocol/queue.py").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("name", "attribute"),
    [("no-wait", "no_wait"), ("global", "global_"), ("type", "type"), ("encode", "encode_")],
)
def test_fields_are_named_in_snake_case_and_avoid_what_is_taken(name: str, attribute: str) -> None:
    assert attribute_name(name) == attribute


def test_other_names_follow_python_s_habits() -> None:
    assert class_name("get-ok") == "GetOk"
    assert class_name("publish") == "Publish"
    assert constant_name("frame-end") == "FRAME_END"
    assert property_name("reserved") == "cluster_id"
    assert property_name("content-type") == "content_type"
    assert [local_name(name) for name in ("queue", "offset", "bits_0")] == [
        "queue",
        "offset_",
        "bits_0_",
    ]


def test_adjacent_fields_of_fixed_width_are_one_run_and_bits_share_a_byte() -> None:
    steps = list(
        group(
            [
                field("r", "short", reserved=True),
                field("a", "longlong"),
                field("x", "bit"),
                field("y", "bit", reserved=True),
                field("z", "bit"),
                field("s", "shortstr"),
                field("b", "octet"),
                field("t", "table", reserved=True),
                field("u", "timestamp"),
                field("v", "timestamp", reserved=True),
            ]
        )
    )

    assert [step.kind for step in steps] == [
        "run",
        "shortstr",
        "run",
        "reserved",
        "timestamp",
        "run",
    ]
    assert steps[0].format == "2xQB"
    assert steps[0].size == 11
    assert steps[0].members == ("a", (Bit("x", 1), Bit("", 2), Bit("z", 4)))
    assert steps[2].format == "B"
    assert steps[5].format == "8x"


def test_a_ninth_bit_begins_another_byte() -> None:
    (step,) = group([field(f"b{number}", "bit") for number in range(9)])

    assert step.format == "BB"
    assert [bit.mask for bit in step.bits] == [1, 2, 4, 8, 16, 32, 64, 128, 1]


def test_methods_come_after_those_that_answer_them() -> None:
    (cls,) = amqp_spec.load(GOLDEN / "spec").classes

    assert [m.name for m in replies_first(cls.methods)] == ["open-ok", "open", "pass"]


def test_prose_fits_the_line_and_cannot_end_its_docstring() -> None:
    text = describe("a label", 'word """ \\ ' * 40, first=30, rest=12)

    lines = text.split("\n")
    assert '"""' not in text.replace("'''", "")
    assert "\\\\" in text
    assert len(lines[0]) + 30 <= 97
    assert all(line.startswith(" " * 12) and len(line) <= 97 for line in lines[1:])
    assert text.startswith("A label. Word")
    assert text.endswith(".")


def test_constants_are_in_the_order_of_their_values_and_know_which_are_hard() -> None:
    planned = plan(amqp_spec.load(GOLDEN / "spec"))

    assert [c.value for c in planned.reply_codes] == [200, 404, 541]
    assert planned.hard == ("INTERNAL_ERROR",)
    assert [c.name for c in planned.constants] == ["FRAME_END"]


def test_the_command_runs_as_documented() -> None:
    done = subprocess.run(
        [sys.executable, "tools/codegen", "--check"], cwd=ROOT, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
