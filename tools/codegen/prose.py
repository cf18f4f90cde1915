"""Docstrings from the labels and docs of the specification.

A name in brackets, such as ``[basic.qos][]``, is a link to the pages in ``docs/protocol``.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import amqp_spec

WIDTH = 97  # leaves room for closing quotes on the last line


def sentence(text: str) -> str:
    """Return a text that begins with a capital letter and ends with a full stop."""
    text = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def describe(label: str, doc: str, *, first: int, rest: int) -> str:
    """Join a label and a doc into lines that fit the line length.

    Args:
        label: a phrase.
        doc: sentences.
        first: columns that are used on the first line already.
        rest: indentation of the following lines.
    """
    text = " ".join(filter(None, (sentence(label), sentence(doc))))
    return wrap(text, first, rest)


def wrap(text: str, first: int, rest: int) -> str:
    """Break a text into lines, all but the first of them indented."""
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).lstrip()


@dataclass(frozen=True)
class Prose:
    """A docstring: its summary, text, arguments, and the place in the specification."""

    summary: str
    text: str
    arguments: tuple[tuple[str, str], ...]
    source: str

    @classmethod
    def of_class(cls, amqp_class: amqp_spec.Class) -> "Prose":
        """Describe a module."""
        return cls(
            summary=wrap(sentence(amqp_class.label), 3, 0),
            text=wrap(sentence(amqp_class.doc), 0, 0),
            arguments=(),
            source=f"Spec: class [{amqp_class.name}][] ({amqp_class.index})",
        )

    @classmethod
    def of_method(
        cls,
        amqp_class: amqp_spec.Class,
        method: amqp_spec.Method,
        arguments: Sequence[tuple[str, str]],
    ) -> "Prose":
        """Describe the class of a method, with the names and descriptions of its arguments."""
        receivers = " and ".join(f"the {r}" for r in method.receivers)
        number = f"{amqp_class.index}.{method.index}"
        return cls(
            summary=wrap(sentence(method.label), 7, 4),
            text=wrap(sentence(method.doc), 4, 4),
            arguments=tuple(arguments),
            source=f"Spec: [{amqp_class.name}.{method.name}][] ({number}), received by {receivers}",
        )

    @classmethod
    def of_properties(
        cls, amqp_class: amqp_spec.Class, properties: Sequence[tuple[str, str]]
    ) -> "Prose":
        """Describe the class of the properties of a content."""
        return cls(
            summary=f"Properties of a {amqp_class.name} content; an absent property is None.",
            text="",
            arguments=tuple(properties),
            source=f"Spec: [{amqp_class.name}.properties][], 4.2.6.1",
        )
