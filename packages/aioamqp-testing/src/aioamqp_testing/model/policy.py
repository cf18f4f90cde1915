"""Policies: arguments that an administrator gives to exchanges and queues by their names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from amqp_codec import FieldValue

from .access import check_pattern, matches
from .exchanges.exchange import Exchange

ApplyTo = Literal["all", "exchanges", "queues"]

_KEYS: Final = {
    "alternate-exchange": str,
    "dead-letter-exchange": str,
    "dead-letter-routing-key": str,
    "delivery-limit": int,
    "expires": int,
    "max-age": str,
    "max-length": int,
    "max-length-bytes": int,
    "message-ttl": int,
    "overflow": str,
}
"""What a policy can define, and the type of it."""

_LOWEST: Final = {"expires": 1}
_OVERFLOWS: Final = ("drop-head", "reject-publish", "reject-publish-dlx")


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of a virtual host.

    Attributes:
        name: unique in the virtual host.
        pattern: a regular expression; the policy is for those whose names it matches somewhere.
        definition: arguments without ``x-``, such as ``{"max-length": 10}``.
        apply_to: ``"all"``, or only ``"exchanges"`` or ``"queues"``.
        priority: of the policies that match, the one with the highest holds, and no other.
    """

    name: str
    pattern: str
    definition: Mapping[str, FieldValue]
    apply_to: ApplyTo = "all"
    priority: int = 0

    def __post_init__(self) -> None:
        check_pattern(self.pattern)
        if self.apply_to not in ("all", "exchanges", "queues"):
            raise ValueError(
                f"apply_to must be 'all', 'exchanges' or 'queues', not {self.apply_to!r}"
            )
        if not self.definition:
            raise ValueError(f"the policy {self.name!r} defines nothing")
        for key, value in self.definition.items():
            _check(key, value)


def _check(key: str, value: FieldValue) -> None:
    if key not in _KEYS:
        known = ", ".join(_KEYS)
        raise ValueError(f"{key!r} is not what a policy can define here; these are: {known}")
    kind = _KEYS[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key!r} must be of type {kind.__name__}, not {value!r}")
    if isinstance(value, int) and value < _LOWEST.get(key, 0):
        raise ValueError(f"{key!r} must be {_LOWEST.get(key, 0)} or more, not {value}")
    if key == "overflow" and value not in _OVERFLOWS:
        raise ValueError(f"'overflow' must be one of {', '.join(_OVERFLOWS)}, not {value!r}")


class Policies:
    """The policies of a virtual host."""

    def __init__(self) -> None:
        self._policies: dict[str, Policy] = {}

    def set(self, policy: Policy) -> None:
        """Add a policy, in the place of one with the same name."""
        self._policies[policy.name] = policy

    def clear(self, name: str) -> None:
        """Take a policy away.

        Raises:
            ValueError: there is none with this name.
        """
        if name not in self._policies:
            raise ValueError(f"there is no policy {name!r}")
        del self._policies[name]

    def for_queue(self, name: str) -> Mapping[str, FieldValue]:
        """Return what the policy for a queue defines; nothing when there is none."""
        return self._definition("queues", name)

    def alternate_of(self, exchange: Exchange) -> str | None:
        """Return the alternate exchange of an exchange. RabbitMQ: its own argument comes first."""
        defined = self._definition("exchanges", exchange.name)
        name = exchange.arguments.get("alternate-exchange", defined.get("alternate-exchange"))
        return name if isinstance(name, str) else None

    def _definition(self, kind: ApplyTo, name: str) -> Mapping[str, FieldValue]:
        matching = [
            policy
            for policy in self._policies.values()
            if policy.apply_to in ("all", kind) and matches(policy.pattern, name)
        ]
        if not matching:
            return {}
        return max(matching, key=lambda policy: policy.priority).definition
