"""Profiles: which versions there are, and how a broker gets one."""

import dataclasses

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.model.profile import DEFAULT_VERSION, VERSIONS, find_profile


@pytest.mark.parametrize(
    ("version", "exact"),
    [
        ("3.10", "3.10.8"),
        ("3.10.8", "3.10.8"),
        ("4.0", "4.0.5"),
        ("4.0.5", "4.0.5"),
        ("4.3", "4.3.6"),
        ("4.3.6", "4.3.6"),
    ],
)
def test_a_version_has_a_profile(version: str, exact: str) -> None:
    assert FakeBroker(rabbitmq=version).node.profile.version == exact


def test_a_broker_has_the_default_version() -> None:
    assert FakeBroker().node.profile is find_profile(DEFAULT_VERSION)


@pytest.mark.parametrize("version", ["", "4", "4.1", "4.3.7", "3.10.8 "])
def test_an_unknown_version_is_refused_with_those_there_are(version: str) -> None:
    with pytest.raises(ValueError, match="RabbitMQ") as error:
        FakeBroker(rabbitmq=version)

    assert str(error.value) == (
        f"there is no profile of RabbitMQ {version!r}; choose one of 3.10, 4.0, 4.3, 3.10.8, 4.0.5,"
        " 4.3.6"
    )


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        VERSIONS["4.3"].version = "5"  # type: ignore[misc]


def test_each_version_differs_from_the_others() -> None:
    profiles = [dataclasses.replace(VERSIONS[name], version="") for name in ("3.10", "4.0", "4.3")]

    assert len(set(profiles)) == 3


def test_only_a_version_that_denies_something_takes_deny() -> None:
    with pytest.raises(ValueError, match=r"RabbitMQ 4\.0\.5 denies no deprecated feature"):
        FakeBroker(rabbitmq="4.0", deprecated="deny")
    with pytest.raises(ValueError, match="deprecated must be 'permit' or 'deny', not 'no'"):
        FakeBroker(rabbitmq="4.3", deprecated="no")  # type: ignore[arg-type]
