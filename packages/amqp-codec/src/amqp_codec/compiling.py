"""Markers that mypyc reads when it compiles the package, and whether it did."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Never, TypeAlias, TypeVar

_Class = TypeVar("_Class", bound=type)

Unchecked: TypeAlias = Never
"""Keeps compiled code from checking a type, as a part of a union: ``name: str | Unchecked``.

A compiled function refuses an argument of another type with a bare TypeError, and so does an
attribute. Whatever is encoded is therefore accepted unchecked, as in pure Python, and ``encode``
raises an EncodeError that names the field. Type checkers read ``str | Never`` as ``str``.
"""

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr


def _ignored(**_: object) -> Callable[[_Class], _Class]:
    """Stand for ``mypyc_attr``, which need not be installed at run time."""
    return lambda cls: cls


# An ``else`` of the condition above would not be compiled.
globals().setdefault("mypyc_attr", _ignored)

COMPILED: Final[bool] = not hasattr(_ignored, "__code__")
"""Whether mypyc has compiled the package; it is pure Python otherwise."""
