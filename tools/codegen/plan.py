"""The plan of the generated code: everything that the templates print, computed in advance.

An encoded method is its index followed by its fields. The plan turns the fields into *steps*, the
statements of straight-line code:

    constant   bytes that never change: the index, and reserved fields when encoding
    pad, skip_short, skip_long    reserved fields when decoding: skipped, whatever their value is
    run        adjacent fields of fixed width, packed or unpacked by one Struct; up to eight
               adjacent bits share one byte of it (Spec: 4.2.5.2)
    bits       such a byte without adjacent fields of fixed width
    shortstr, longstr, table, timestamp      one field each

When encoding, the four bytes of the index are part of the first run, if the fields begin with one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import amqp_spec
from names import attribute_name, class_name, constant_name, local_name, property_name
from prose import Prose, describe

WIDTHS = {"octet": "B", "short": "H", "long": "I", "longlong": "Q", "bit": "B"}
SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8}
EMPTY = {"shortstr": b"\0", "longstr": bytes(4), "table": bytes(4)}
PYTHON_TYPES = {
    "bit": ("bool", "bool", "False"),
    "octet": ("int", "int", "0"),
    "short": ("int", "int", "0"),
    "long": ("int", "int", "0"),
    "longlong": ("int", "int", "0"),
    "shortstr": ("str", "str", '""'),
    "longstr": ("bytes", "bytes | str", 'b""'),
    "table": ("FieldTable", "FieldTable | None", "None"),
    "timestamp": ("datetime | int", "datetime | int", "0"),
}


@dataclass(frozen=True)
class FieldPlan:
    """An attribute of a generated class."""

    name: str
    wire_type: str
    python_type: str
    parameter_type: str
    default: str
    prose: str

    @property
    def initial(self) -> str:
        """The expression that the constructor assigns."""
        if self.wire_type == "table":
            return f"{{}} if {self.name} is None else {self.name}"
        if self.wire_type == "longstr":
            return f"{self.name}.encode() if isinstance({self.name}, str) else {self.name}"
        return self.name


@dataclass(frozen=True)
class Bit:
    """One bit of a shared byte."""

    name: str
    mask: int


@dataclass(frozen=True)
class Step:
    """One statement of the generated code; the module's docstring lists the kinds."""

    kind: str
    name: str = ""
    data: bytes = b""
    format: str = ""
    index: int | None = None
    members: tuple[str | tuple[Bit, ...], ...] = ()
    wire_type: str = ""

    @property
    def size(self) -> int:
        """The number of bytes of a run."""
        digits, total = "", 0
        for letter in self.format:
            if letter.isdigit():
                digits += letter
                continue
            total += int(digits or 1) * SIZES.get(letter, 1)
            digits = ""
        return total

    @property
    def targets(self) -> list[str]:
        """The variables that are assigned when a run is unpacked."""
        return [
            local_name(member) if isinstance(member, str) else f"bits_{position}"
            for position, member in enumerate(self.members)
        ]

    @property
    def bits(self) -> tuple[Bit, ...]:
        """All bits of this step."""
        return tuple(bit for m in self.members if not isinstance(m, str) for bit in m)


@dataclass(frozen=True)
class MethodPlan:
    """A generated method class."""

    name: str
    qualified: str
    index: int
    fields: tuple[FieldPlan, ...]
    encode: tuple[Step, ...]
    decode: tuple[Step, ...]
    has_content: bool
    replies: tuple[str, ...]
    prose: Prose

    @property
    def names(self) -> list[str]:
        """The names of the attributes, as string literals."""
        return [repr(f.name) for f in self.fields]


@dataclass(frozen=True)
class PropertyPlan:
    """A property of a content, present when its flag is set."""

    field: FieldPlan
    flag: int
    format: str

    @property
    def lazy(self) -> bool:
        """Whether it is decoded on first access, since most programs never read headers."""
        return self.field.wire_type == "table"

    @property
    def attribute(self) -> str:
        """The name of its slot."""
        return f"_{self.field.name}" if self.lazy else self.field.name

    @property
    def attribute_type(self) -> str:
        """The type of that slot."""
        return f"{self.field.python_type} | {'bytes | ' if self.lazy else ''}None"


@dataclass(frozen=True)
class ModulePlan:
    """A generated module: an AMQP class."""

    name: str
    index: int
    methods: tuple[MethodPlan, ...]
    properties: tuple[PropertyPlan, ...]
    properties_prose: Prose
    prose: Prose
    packs: tuple[str, ...]
    unpacks: tuple[str, ...]

    @property
    def property_names(self) -> list[str]:
        """The names of the properties, as string literals."""
        return [repr(p.field.name) for p in self.properties]

    @property
    def property_slots(self) -> list[str]:
        """The names of their slots, and that of the unused flags, as string literals."""
        return [*(repr(p.attribute) for p in self.properties), "'_unused_flags'"]

    @property
    def unused_flags(self) -> int:
        """The flags without a property, including the one that announces more flags."""
        return 0xFFFF & ~sum(p.flag for p in self.properties)


@dataclass(frozen=True)
class ConstantPlan:
    """A generated constant."""

    name: str
    value: int
    prose: str


@dataclass(frozen=True)
class Plan:
    """Everything that is generated."""

    modules: tuple[ModulePlan, ...]
    constants: tuple[ConstantPlan, ...]
    reply_codes: tuple[ConstantPlan, ...]
    hard: tuple[str, ...]

    @property
    def module_names(self) -> list[str]:
        """The modules that the package holds."""
        return sorted(["constants", *(module.name for module in self.modules)])


def plan(spec: amqp_spec.Spec) -> Plan:
    """Return the plan for a specification."""
    by_value = sorted(spec.constants, key=lambda constant: constant.value)
    codes = [c for c in by_value if c.kind is not None or c.name.startswith("reply-")]
    others = [c for c in by_value if c not in codes]
    return Plan(
        modules=tuple(plan_module(c) for c in spec.classes),
        constants=tuple(plan_constant(c, indent=0) for c in others),
        reply_codes=tuple(plan_constant(c, indent=4) for c in codes),
        hard=tuple(constant_name(c.name) for c in codes if c.kind == "hard-error"),
    )


def plan_constant(constant: amqp_spec.Constant, *, indent: int) -> ConstantPlan:
    """Plan a constant that is printed at an indentation."""
    prose = describe(constant.label, constant.doc, first=indent + 3, rest=indent)
    return ConstantPlan(constant_name(constant.name), constant.value, prose)


def plan_module(cls: amqp_spec.Class) -> ModulePlan:
    """Plan the module of an AMQP class."""
    methods = tuple(plan_method(cls, m) for m in replies_first(cls.methods))
    properties = tuple(plan_properties(cls.fields))
    packs = {s.format for m in methods for s in m.encode if s.kind == "run"}
    packs |= {p.format for p in properties if p.format not in ("", "B")}
    unpacks = {s.format for m in methods for s in m.decode if s.kind == "run"}
    unpacks |= {p.format for p in properties if p.format not in ("", "B")}
    if any(f.wire_type == "longstr" for m in methods for f in m.fields):
        packs.add("I")
        unpacks.add("I")
    if any(s.kind == "skip_long" for m in methods for s in m.decode):
        unpacks.add("I")
    if any(p.field.wire_type == "table" for p in properties):
        unpacks.add("I")
    return ModulePlan(
        name=attribute_name(cls.name),
        index=cls.index,
        methods=methods,
        properties=properties,
        properties_prose=Prose.of_properties(
            cls, [(p.field.name, p.field.prose) for p in properties]
        ),
        prose=Prose.of_class(cls),
        packs=tuple(sorted(packs)),
        unpacks=tuple(sorted(unpacks)),
    )


def value_count(struct_format: str) -> int:
    """Return how many values a Struct of this format unpacks; padding does not count."""
    return sum(letter in SIZES for letter in struct_format)


def replies_first(methods: Sequence[amqp_spec.Method]) -> list[amqp_spec.Method]:
    """Return the methods in their order, except that replies come before their requests."""
    by_name = {m.name: m for m in methods}
    ordered: dict[str, amqp_spec.Method] = {}

    def place(method: amqp_spec.Method) -> None:
        for reply in method.responses:
            if reply not in ordered and reply != method.name:
                place(by_name[reply])
        ordered.setdefault(method.name, method)

    for method in methods:
        place(method)
    return list(ordered.values())


def plan_method(cls: amqp_spec.Class, method: amqp_spec.Method) -> MethodPlan:
    """Plan the class of a method."""
    fields = tuple(plan_field(f, attribute_name(f.name)) for f in method.fields if not f.reserved)
    index = cls.index << 16 | method.index
    steps = tuple(group(method.fields))
    return MethodPlan(
        name=class_name(method.name),
        qualified=f"{cls.name}.{method.name}",
        index=index,
        fields=fields,
        encode=tuple(sending(index, steps)),
        decode=tuple(receiving(steps)),
        has_content=method.content,
        replies=tuple(class_name(r) for r in method.responses),
        prose=Prose.of_method(cls, method, [(f.name, f.prose) for f in fields]),
    )


def plan_field(spec_field: amqp_spec.Field, name: str) -> FieldPlan:
    """Plan the attribute of a field."""
    python_type, parameter_type, default = PYTHON_TYPES[spec_field.type]
    return FieldPlan(
        name=name,
        wire_type=spec_field.type,
        python_type=python_type,
        parameter_type=parameter_type,
        default=default,
        prose=describe(spec_field.label, spec_field.doc, first=len(f"        {name}: "), rest=12),
    )


def plan_properties(fields: Sequence[amqp_spec.Field]) -> Iterator[PropertyPlan]:
    """Plan content properties; the first one has the highest flag. Spec: 4.2.6.1."""
    for position, spec_field in enumerate(fields):
        yield PropertyPlan(
            field=plan_field(spec_field, property_name(spec_field.name)),
            flag=1 << (15 - position),
            format="Q" if spec_field.type == "timestamp" else WIDTHS.get(spec_field.type, ""),
        )


def group(fields: Sequence[amqp_spec.Field]) -> Iterator[Step]:
    """Turn fields into steps; reserved fields of fixed width become padding of a run."""
    run = Step("run")
    for f in fields:
        if f.type == "timestamp" and f.reserved:
            run = replace(run, format=f"{run.format}8x")
        elif f.type not in WIDTHS:
            if run.format:
                yield run
                run = Step("run")
            kind = "reserved" if f.reserved else f.type
            yield Step(
                kind, name=attribute_name(f.name), wire_type=f.type, data=EMPTY.get(f.type, b"")
            )
        elif f.type == "bit":
            run = with_bit(run, "" if f.reserved else attribute_name(f.name))
        elif f.reserved:
            run = replace(run, format=f"{run.format}{SIZES[WIDTHS[f.type]]}x")
        else:
            members = (*run.members, attribute_name(f.name))
            run = replace(run, format=run.format + WIDTHS[f.type], members=members)
    if run.format:
        yield run


def with_bit(run: Step, name: str) -> Step:
    """Add a bit to a run: to the byte of the preceding bits, or to a new byte."""
    last = run.members[-1] if run.members else ""
    if isinstance(last, str) or len(last) == 8:
        return replace(run, format=run.format + "B", members=(*run.members, (Bit(name, 1),)))
    return replace(run, members=(*run.members[:-1], (*last, Bit(name, 1 << len(last)))))


def sending(index: int, steps: Sequence[Step]) -> Iterator[Step]:
    """Turn the steps of a method into the steps that encode it."""
    constant = index.to_bytes(4, "big")
    first = True
    for step in steps:
        if step.kind == "reserved":
            constant += step.data
        elif step.kind == "run" and not any(b.name for b in step.bits) and not names(step):
            constant += bytes(step.size)
        elif step.kind == "run" and first and len(constant) == 4 and step.size > 1:
            yield replace(step, format=f"I{step.format}", index=index)
            constant, first = b"", False
        else:
            if constant:
                yield Step("constant", data=constant)
            constant, first = b"", False
            alone = step.kind == "run" and step.format == "B" and bool(step.bits)
            yield replace(step, kind="bits") if alone else step
    if constant:
        yield Step("constant", data=constant)


def receiving(steps: Sequence[Step]) -> Iterator[Step]:
    """Turn the steps of a method into the steps that decode it."""
    for step in steps:
        if step.kind == "reserved":
            yield replace(step, kind="skip_short" if step.wire_type == "shortstr" else "skip_long")
        elif step.kind == "run" and not any(b.name for b in step.bits) and not names(step):
            yield Step("pad", format=step.format)
        elif step.kind == "run" and step.format == "B" and step.bits:
            yield replace(step, kind="bits")
        else:
            yield step


def names(step: Step) -> list[str]:
    """Return the fields of a run that are not bits."""
    return [m for m in step.members if isinstance(m, str)]
