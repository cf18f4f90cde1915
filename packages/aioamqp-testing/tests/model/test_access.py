"""Permissions: what they allow, and the texts of refusals."""

from collections.abc import Callable

import pytest

from aioamqp_testing.model import Access, BrokerError, Permissions, User, UserAccess
from fake_broker_support import RABBITMQ_3_10


@pytest.fixture
def user() -> User:
    return User("ada", "secret", permissions={"/": Permissions("^c", "^w$", "r")})


@pytest.fixture
def access(user: User) -> UserAccess:
    return UserAccess(user, "/", RABBITMQ_3_10)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(BrokerError) as caught:
        call()
    return caught.value.reply_text


def test_each_permission_is_about_its_own_use(access: UserAccess) -> None:
    """Row 78. A pattern matches anywhere in a name."""
    access.check_configure("queue", "c1")
    access.check_write("exchange", "w")
    access.check_read("queue", "for reading")

    refused = "ACCESS_REFUSED - access to {} in vhost '/' refused for user 'ada'"
    assert refusal(lambda: access.check_configure("queue", "w")) == refused.format("queue 'w'")
    assert refusal(lambda: access.check_write("exchange", "ww")) == refused.format("exchange 'ww'")
    assert refusal(lambda: access.check_read("queue", "c1")) == refused.format("queue 'c1'")


def test_the_default_exchange_has_another_name_in_permissions(
    user: User, access: UserAccess
) -> None:
    """Row 80."""
    assert "exchange 'amq.default'" in refusal(lambda: access.check_write("exchange", ""))

    user.permissions["/"] = Permissions(write=r"^amq\.default$")

    access.check_write("exchange", "")


def test_an_empty_pattern_is_for_no_name(user: User, access: UserAccess) -> None:
    user.permissions["/"] = Permissions("", "", "")

    for ask in (access.check_configure, access.check_write, access.check_read):
        refusal(lambda ask=ask: ask("queue", "q"))  # type: ignore[misc]


def test_permissions_are_for_one_virtual_host(user: User) -> None:
    elsewhere = UserAccess(user, "/elsewhere", RABBITMQ_3_10)

    assert "in vhost '/elsewhere'" in refusal(lambda: elsewhere.check_configure("queue", "c"))


def test_topic_permissions_are_for_one_exchange_and_may_name_the_user(
    user: User, access: UserAccess
) -> None:
    """Row 79."""
    access.check_write_topic("x", "any")
    user.topic_permissions["/", "x"] = Permissions(write="^{vhost}{username}[.]", read="^r$")

    access.check_write_topic("x", "/ada.1")
    access.check_write_topic("y", "any")
    access.check_read_topic("x", "r")

    refused = "ACCESS_REFUSED - access to topic '{}' in exchange 'x' in vhost '/' refused for"
    assert refused.format("bob.1") in refusal(lambda: access.check_write_topic("x", "bob.1"))
    assert refused.format("w") in refusal(lambda: access.check_read_topic("x", "w"))


def test_only_a_tag_lets_a_user_take_other_names(user: User) -> None:
    assert not UserAccess(user, "/", RABBITMQ_3_10).is_impersonator

    assert UserAccess(
        User("eve", "", frozenset({"impersonator"})), "/", RABBITMQ_3_10
    ).is_impersonator


def test_full_access_allows_everything() -> None:
    access = Access("guest")

    access.check_configure("queue", "q")
    access.check_write("exchange", "")
    access.check_read("queue", "q")
    access.check_write_topic("x", "k")
    access.check_read_topic("x", "k")


def test_a_pattern_has_to_be_a_regular_expression() -> None:
    with pytest.raises(ValueError, match=r"'\[' is no regular expression: unterminated"):
        Permissions(read="[")
