"""Policies: arguments that an administrator sets for exchanges and queues by their names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from amqp_codec import FieldValue

from .access import check_pattern, matches
from .exchanges.exchange import ALTERNATE_EXCHANGE, Exchange
from .profile import Arguments
from .queues.arguments import TABLES

ApplyTo = Literal["all", "exchanges", "queues"]

_KEYS: Final = {
    table: {
        argument.policy_key: argument.policy
        for argument in (ALTERNATE_EXCHANGE, *arguments.rows)
        if argument.policy is not None
    }
    for table, arguments in TABLES.items()
}


_LIMITS: Final = frozenset(
    {"delivery-limit", "expires", "max-length", "max-length-bytes", "message-ttl"}
)
_OPERATOR_KEYS: Final = {
    Arguments.MIRRORED: _LIMITS,
    Arguments.UNMIRRORED: _LIMITS | {"overflow"},
    Arguments.STRICT: _LIMITS | {"overflow"},
}
"""What an operator policy can define."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of a virtual host.

    Attributes:
        name: the name of the policy, unique in its virtual host.
        pattern: a regular expression; it applies to names in which it matches anywhere.
        definition: arguments without ``x-``, such as ``{"max-length": 10}``.
        apply_to: ``"all"``, or only ``"exchanges"`` or ``"queues"``.
        priority: of the policies that match a name, only the one with the highest is in force.
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

    def check_definition(self, table: Arguments, *, is_operators: bool = False) -> None:
        """Refuse what a policy cannot define.

        Args:
            table: names the arguments that the version of RabbitMQ knows.
            is_operators: whether it is an operator policy.

        Raises:
            ValueError: a key is unknown, or its value is invalid.
        """
        keys = _KEYS[table]
        kind = "an operator policy" if is_operators else "a policy"
        allowed = _OPERATOR_KEYS[table] if is_operators else keys.keys()
        for key, value in self.definition.items():
            if key not in allowed:
                known = ", ".join(sorted(allowed))
                raise ValueError(f"{kind} cannot define {key!r} here; it can define: {known}")
            keys[key].check_policy(key, value)


class Policies:
    """The policies of a virtual host.

    Args:
        table: names the arguments that the version of RabbitMQ knows.
    """

    def __init__(self, table: Arguments = Arguments.MIRRORED) -> None:
        self._table = table
        self._policies: dict[str, Policy] = {}
        self._operators: dict[str, Policy] = {}

    def set(self, policy: Policy) -> None:
        """Add a policy, or replace the one with the same name.

        Raises:
            ValueError: it defines what no policy can, or an invalid value.
        """
        policy.check_definition(self._table)
        self._policies[policy.name] = policy

    def set_operators(self, policy: Policy) -> None:
        """Add an operator policy, or replace the one with the same name.

        Raises:
            ValueError: it defines what no operator policy can, or an invalid value.
        """
        policy.check_definition(self._table, is_operators=True)
        self._operators[policy.name] = policy

    def clear(self, name: str) -> None:
        """Remove a policy.

        Raises:
            ValueError: there is none with this name.
        """
        if name not in self._policies:
            raise ValueError(f"there is no policy {name!r}")
        del self._policies[name]

    def clear_operators(self, name: str) -> None:
        """Remove an operator policy.

        Raises:
            ValueError: there is none with this name.
        """
        if name not in self._operators:
            raise ValueError(f"there is no operator policy {name!r}")
        del self._operators[name]

    def for_queue(self, name: str) -> Mapping[str, FieldValue]:
        """Return the definition that is in force for a queue; empty without a policy."""
        policy = _definition(self._policies, "queues", name)
        operators = _definition(self._operators, "queues", name)
        if not operators:
            return policy
        merged = {
            key: _merged(policy[key], value) if key in policy else value
            for key, value in operators.items()
        }
        return {**policy, **merged}

    def alternate_of(self, exchange: Exchange) -> str | None:
        """Return the alternate exchange of an exchange. RabbitMQ: its argument comes first."""
        policy = _definition(self._policies, "exchanges", exchange.name)
        name = ALTERNATE_EXCHANGE.in_force(exchange.arguments, policy)
        return name if isinstance(name, str) else None


def _definition(
    policies: Mapping[str, Policy], kind: ApplyTo, name: str
) -> Mapping[str, FieldValue]:
    matching = [
        policy
        for policy in policies.values()
        if policy.apply_to in ("all", kind) and matches(policy.pattern, name)
    ]
    if not matching:
        return {}
    return max(matching, key=lambda policy: policy.priority).definition


def _merged(value: FieldValue, operators: FieldValue) -> FieldValue:
    """Return what applies: the lower limit, where -1 is no limit, or what the operator defines."""
    if isinstance(value, int) and isinstance(operators, int):
        return min(value, operators) if min(value, operators) >= 0 else max(value, operators)
    return operators
