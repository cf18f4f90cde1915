"""Channel numbers."""

import pytest

from aioamqp._connection.channel_numbers import ChannelNumbers
from aioamqp.exceptions import NoChannelAvailable


def test_numbers_are_allocated_from_1_to_channel_max() -> None:
    numbers = ChannelNumbers(3)

    assert [numbers.allocate() for _ in range(3)] == [1, 2, 3]
    with pytest.raises(NoChannelAvailable, match="All 3 channels"):
        numbers.allocate()


def test_the_lowest_free_number_is_used_again() -> None:
    numbers = ChannelNumbers(5)
    for _ in range(5):
        numbers.allocate()

    for number in (4, 2, 5):
        numbers.release(number)

    assert numbers.count == 2
    assert [numbers.allocate() for _ in range(3)] == [2, 4, 5]


def test_many_more_channels_than_numbers_can_be_opened_one_after_the_other() -> None:
    numbers = ChannelNumbers(5)
    for _ in range(4):
        numbers.allocate()

    for _ in range(70_000):
        number = numbers.allocate()
        assert number == 5
        numbers.release(number)


def test_without_a_limit_all_16_bit_numbers_are_allocated() -> None:
    assert ChannelNumbers(0).highest == 65535


def test_releasing_a_free_number_changes_nothing() -> None:
    numbers = ChannelNumbers(5)
    numbers.allocate()

    for number in (1, 1, 0, 4):
        numbers.release(number)

    assert numbers.count == 0
    assert [numbers.allocate(), numbers.allocate()] == [1, 2]


def test_all_numbers_can_be_released_at_once() -> None:
    numbers = ChannelNumbers(5)
    for _ in range(3):
        numbers.allocate()
    numbers.release(2)

    numbers.release_all()

    assert numbers.count == 0
    assert numbers.allocate() == 1
