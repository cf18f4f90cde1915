"""Delegation: attributes of another object, and a coroutine that runs another one."""

from collections.abc import Coroutine, Generator
from operator import attrgetter
from types import TracebackType
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def delegated(holder: str, name: str) -> Any:
    """Make a property for an attribute of the object that another attribute holds."""

    def assign(self: Any, value: object) -> None:
        setattr(getattr(self, holder), name, value)

    return property(attrgetter(f"{holder}.{name}"), assign)


class DelegatingCoroutine(Coroutine[Any, Any, _Result]):
    """A coroutine for ``asyncio.run``, ``asyncio.create_task`` and the like, which runs another.

    Args:
        coroutine: the coroutine that it runs.
    """

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, _Result]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, _Result]:
        return self._coroutine.__await__()

    def send(self, value: Any, /) -> Any:
        """See ``collections.abc.Coroutine``."""
        return self._coroutine.send(value)

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any:
        """See ``collections.abc.Coroutine``."""
        if isinstance(typ, BaseException):
            return self._coroutine.throw(typ)
        return self._coroutine.throw(typ, val, tb)

    def close(self) -> None:
        """See ``collections.abc.Coroutine``."""
        self._coroutine.close()
