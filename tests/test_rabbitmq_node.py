"""The private RabbitMQ node of the tests, and the errors if it cannot be started."""

import socket
from pathlib import Path

import pytest

from amqp_codec import PROTOCOL_HEADER, Command, Decoder, connection
from tests import rabbitmq_versions
from tests.conformance.scenario import selection
from tests.rabbitmq import (
    RabbitMQMissing,
    RabbitMQNode,
    RabbitMQNotStarted,
    node_names,
    running_node,
    server_program,
    version_of,
)

ROOT = Path(__file__).parents[1]
STANDARD_PORT = 5672


def first_command(port: int) -> Command:
    """Send the protocol header and return the first command of the broker."""
    decoder = Decoder()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        peer.sendall(PROTOCOL_HEADER)
        while data := peer.recv(65536):
            if commands := decoder.feed(data):
                return commands[0]
    pytest.fail("the broker closed the connection without a command")


def put_programs_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Set PATH to a folder with only these shell scripts; `_` in a name stands for `-`."""
    for name, script in scripts.items():
        program = folder / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_the_node_answers_the_protocol_header_with_connection_start(
    rabbitmq_node: RabbitMQNode,
) -> None:
    command = first_command(rabbitmq_node.port)

    assert command.channel == 0
    assert isinstance(command.method, connection.Start)
    assert command.method.server_properties["product"] == "RabbitMQ"


def test_the_node_is_private_to_the_test_run(
    rabbitmq_node: RabbitMQNode, rabbitmq_url: str
) -> None:
    start = first_command(rabbitmq_node.port).method

    assert rabbitmq_node.port != STANDARD_PORT
    assert rabbitmq_url == f"amqp://guest:guest@127.0.0.1:{rabbitmq_node.port}/"
    assert isinstance(start, connection.Start)
    assert str(start.server_properties["cluster_name"]).startswith(f"{rabbitmq_node.name}@")


def test_the_node_has_the_version_that_was_chosen(
    request: pytest.FixtureRequest, rabbitmq_node: RabbitMQNode
) -> None:
    start = first_command(rabbitmq_node.port).method
    version = version_of(request.node.callspec.params["rabbitmq_node"])

    assert isinstance(start, connection.Start)
    assert start.server_properties["version"] == rabbitmq_node.version
    assert f"{rabbitmq_node.version}.".startswith(f"{version or rabbitmq_node.version}.")


def test_an_unknown_version_is_an_error_that_lists_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = "RabbitMQ 4.1 is not among the versions for tests: 3.10, 4.0, 4.3"
    with pytest.raises(ValueError, match=error), running_node("rabbitmq-4.1"):
        pytest.fail("running_node() returned a node of an unknown version")
    assert rabbitmq_versions.main(["4.1"]) == 1
    assert error in capsys.readouterr().err


def test_a_version_that_is_not_installed_is_reported_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")

    command = "RabbitMQ 4.3 is not installed.* run `python3 tests/rabbitmq_versions.py 4.3`"
    with pytest.raises(RabbitMQMissing, match=command), running_node("rabbitmq-4.3"):
        pytest.fail("running_node() returned a node of a version that is not installed")
    assert rabbitmq_versions.main(["4.3"]) == 1
    assert "installing RabbitMQ 4.3 requires" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("", ("rabbitmq",)),
        ("installed", ("rabbitmq",)),
        ("4.3", ("rabbitmq-4.3",)),
        ("installed, 4.3", ("rabbitmq", "rabbitmq-4.3")),
    ],
)
def test_several_versions_can_be_chosen(
    chosen: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMQP_RABBITMQ", chosen)

    assert node_names() == names
    assert [version_of(name) for name in names] == [
        "4.3" if name.endswith("4.3") else None for name in names
    ]


def test_what_a_version_does_is_what_the_last_one_before_it_does() -> None:
    deliveries = {"3.10": 6, "4.0": 21}

    assert [selection(version)(deliveries) for version in ("3.10.8", "4.0.5", "4.3.6")] == [
        6,
        21,
        21,
    ]


def test_the_script_behind_debians_wrapper_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_programs_on_path(tmp_path, monkeypatch, epmd="exit", rabbitmq_script_wrapper="exit")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/rabbitmq-server").symlink_to(tmp_path / "rabbitmq-script-wrapper")
    monkeypatch.setenv("PATH", f"{tmp_path}:{tmp_path / 'bin'}")

    assert server_program(None) == tmp_path / "rabbitmq-server"


def test_a_node_that_ends_while_starting_is_reported_with_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "PATH=/usr/bin:/bin"
    put_programs_on_path(
        tmp_path,
        monkeypatch,
        epmd=f"{path} exec sleep 60",
        rabbitmq_server="echo the disk is on fire; exit 1",
        sh='exec /bin/sh "$@"',
        rm=f'{path} exec rm "$@"',
    )

    error = "ended while it was starting:\nthe disk is on fire"
    with pytest.raises(RabbitMQNotStarted, match=error), running_node("rabbitmq"):
        pytest.fail("running_node() returned although the node has ended")


TESTS_THAT_NEED_RABBITMQ = """
def test_one(rabbitmq_url): pass
def test_two(rabbitmq_url): pass
def test_three(): pass
"""


def run_without_rabbitmq(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> pytest.RunResult:
    monkeypatch.delenv("AMQP_RABBITMQ", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest((ROOT / "tests/conftest.py").read_text())
    pytester.makepyfile(TESTS_THAT_NEED_RABBITMQ)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:asyncio")


@pytest.mark.slow
def test_tests_are_skipped_and_counted_without_rabbitmq(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AMQP_REQUIRE_RABBITMQ", raising=False)

    run = run_without_rabbitmq(pytester, monkeypatch)

    run.assert_outcomes(passed=1, skipped=2)
    run.stdout.fnmatch_lines(
        ["2 tests were skipped because RabbitMQ, or openssl for its TLS, is not*"]
    )
    assert run.ret == 0


@pytest.mark.slow
def test_tests_fail_without_rabbitmq_if_it_is_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMQP_REQUIRE_RABBITMQ", "1")

    run = run_without_rabbitmq(pytester, monkeypatch)

    run.assert_outcomes(passed=1, errors=2)
    run.stdout.fnmatch_lines(["AMQP_REQUIRE_RABBITMQ is set, but rabbitmq-server is not on PATH*"])
    assert run.ret == 1
