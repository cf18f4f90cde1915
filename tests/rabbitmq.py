"""A private RabbitMQ node for one test run, with its own ports and data folder."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TypeAlias

from amqp_codec import PROTOCOL_HEADER, Command, Decoder, connection
from tests import rabbitmq_versions
from tests.certificates import Authority

Started: TypeAlias = "tuple[subprocess.Popen[bytes], IO[bytes]]"
"""A guard script that runs, and the output of its node."""

INSTALLED = "installed"
"""Stands for the RabbitMQ on PATH in AMQP_RABBITMQ."""

START_SECONDS = 50.0
"""The longest time to start; usually 3 to 10 seconds. Less than pytest's timeout for a test."""

STOP_SECONDS = 20.0

PLUGINS = (
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
)
"""Types of exchanges; they do not make the start slower."""

CONFIGURATION = """\
log.file = false
log.console = true
log.console.level = error
# Do not block publishers when the disk is nearly full: this node is temporary.
disk_free_limit.absolute = 1MB
"""

CONFIGURATION_OF_TLS = """
listeners.ssl.default = 127.0.0.1:{port}
ssl_options.cacertfile = {cacertfile}
ssl_options.certfile = {certfile}
ssl_options.keyfile = {keyfile}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = AMQPLAIN
auth_mechanisms.3 = EXTERNAL
"""

CONFIGURATION_OF_MANAGEMENT = """
management.tcp.ip = 127.0.0.1
management.tcp.port = {port}
"""

CONFIGURATION_OF_CLUSTER = """
cluster_formation.peer_discovery_backend = classic_config
"""

# The node must end with the test run, even after Ctrl-C or kill -9. The test run holds the other end
# of this script's standard input, which is closed in each of these cases. The node has its own epmd,
# because an epmd that Erlang starts by itself is never stopped.
GUARD = """
exec 3<&0
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 <&- & names=$!
"$1" </dev/null & node=$!
{ read -r _; kill -TERM "$node"; } <&3 & watch=$!
wait "$node"
kill "$watch" "$names"
rm -rf "$HOME"
"""

# The same for a node that is started again when it ends, as by systemd, until the test run ends.
GUARD_THAT_RESTARTS = """
exec 3<&0
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 <&- & names=$!
{ read -r _; touch "$HOME/stopping"; kill -TERM "$(cat "$HOME/guarded")"; } <&3 & watch=$!
while [ ! -e "$HOME/stopping" ]; do
    "$1" </dev/null & node=$!
    echo "$node" >"$HOME/guarded"
    wait "$node"
done
kill "$watch" "$names"
rm -rf "$HOME"
"""


# Listens on a free port, and returns it. Each connection sends the expressions as one packet.


def is_required() -> bool:
    """Return whether a test fails, instead of being skipped, if RabbitMQ is not installed."""
    return os.environ.get("AMQP_REQUIRE_RABBITMQ", "0") not in ("", "0")


def node_names() -> tuple[str, ...]:
    """Return the names of the nodes that the tests run on.

    AMQP_RABBITMQ lists their versions: with `installed,4.3` they are `rabbitmq`, which is the one on
    PATH, and `rabbitmq-4.3`. The default is `rabbitmq` alone.
    """
    chosen = os.environ.get("AMQP_RABBITMQ") or INSTALLED
    versions = [version.strip() for version in chosen.split(",")]
    return tuple("rabbitmq" if each == INSTALLED else f"rabbitmq-{each}" for each in versions)


def version_of(name: str) -> str | None:
    """Return the version in the name of a node, or None for the one on PATH."""
    return name.partition("-")[2] or None


NODES = node_names()
"""The names of the nodes of this test run, which are parameters of tests."""


class RabbitMQMissing(Exception):
    """RabbitMQ is not installed; the message names the missing program or version."""


class RabbitMQNotStarted(Exception):
    """RabbitMQ is installed but did not start; the message contains its output."""


@dataclass(frozen=True, slots=True)
class RabbitMQNode:
    """A running node.

    With TLS, the certificate of the node is for `localhost`. A client with a certificate of the same
    authority can log in with EXTERNAL as the user in the common name of its certificate.

    Attributes:
        name: the part of the node name before `@localhost`.
        port: for AMQP without TLS.
        authority: that issued the node's certificate; None without TLS.
        tls_port: for AMQP with TLS; None without TLS.
        management_port: for the management API; None without it.
        version: of RabbitMQ, such as 4.3.6; empty until the node is ready.
        environment: in which `rabbitmqctl` connects to this node.
    """

    name: str
    port: int
    authority: Authority | None = None
    tls_port: int | None = None
    management_port: int | None = None
    version: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"


@contextlib.contextmanager
def running_node(
    name: str = NODES[0],
    authority: Authority | None = None,
    *,
    has_management: bool = False,
    restarts: bool = False,
    settings: str = "",
) -> Iterator[RabbitMQNode]:
    """Start a node, wait until it accepts connections, and stop it and delete its folder on exit.

    Args:
        name: one of ``NODES``, which names the version.
        authority: issues the certificate of the node; None for a node without TLS.
        has_management: whether the node has the management API, which starts slowly.
        restarts: whether the node is started again whenever it ends, as after ``kill``.
        settings: more lines of rabbitmq.conf.

    Raises:
        RabbitMQMissing: `rabbitmq-server` or `epmd` is not on PATH, or the version is not installed.
        RabbitMQNotStarted: the node ended, or was not ready in time.
    """
    version = version_of(name)
    program = server_program(version)
    node_port, distribution_port, epmd_port, tls_port, management_port = free_ports(5)
    node = RabbitMQNode(
        f"aioamqp-test-{os.getpid()}-{node_port}",
        node_port,
        authority,
        tls_port if authority else None,
        management_port if has_management else None,
    )
    folder = Path(tempfile.mkdtemp(prefix="aioamqp-rabbitmq-"))
    configuration, plugins = configuration_of(version) + settings, list(PLUGINS)
    if authority is not None:
        own = authority.issue("node", "DNS:localhost")
        configuration += CONFIGURATION_OF_TLS.format(
            port=tls_port,
            cacertfile=authority.cacertfile,
            certfile=own.certfile,
            keyfile=own.keyfile,
        )
        plugins.append("rabbitmq_auth_mechanism_ssl")
    if has_management:
        configuration += CONFIGURATION_OF_MANAGEMENT.format(port=management_port)
        plugins.append("rabbitmq_management")
    (folder / "rabbitmq.conf").write_text(configuration)
    (folder / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
    (folder / "rabbitmq-env.conf").touch()
    environment = node_environment(program, folder, node, distribution_port, epmd_port)
    script = GUARD_THAT_RESTARTS if restarts else GUARD
    with started(program, folder, environment, script) as run:
        exact_version = wait_until_ready(node, *run)
        yield replace(node, version=exact_version, environment=environment)


@contextlib.contextmanager
def running_cluster(name: str, size: int) -> Iterator[list[RabbitMQNode]]:
    """Run nodes of one version that form a cluster; each is started again whenever it ends.

    Raises:
        RabbitMQMissing, RabbitMQNotStarted: see ``running_node``.
    """
    version = version_of(name)
    program = server_program(version)
    *ports, epmd_port = free_ports(2 * size + 1)
    names = [f"aioamqp-test-{os.getpid()}-{number}" for number in range(size)]
    configuration = configuration_of(version) + CONFIGURATION_OF_CLUSTER
    for number, node_name in enumerate(names, 1):
        configuration += (
            f"cluster_formation.classic_config.nodes.{number} = {node_name}@localhost\n"
        )
    nodes: list[RabbitMQNode] = []
    with contextlib.ExitStack() as stack:
        runs: list[Started] = []
        for number, node_name in enumerate(names):
            node = RabbitMQNode(node_name, ports[number])
            folder = Path(tempfile.mkdtemp(prefix="aioamqp-rabbitmq-"))
            (folder / "rabbitmq.conf").write_text(configuration)
            (folder / "enabled_plugins").write_text("[].\n")
            (folder / "rabbitmq-env.conf").touch()
            cookie = folder / ".erlang.cookie"
            cookie.write_text("aioamqp")
            cookie.chmod(0o400)
            environment = node_environment(program, folder, node, ports[size + number], epmd_port)
            # One scheduler each: the machine has few processors.
            environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] += " +S 1:1"
            nodes.append(replace(node, environment=environment))
            # Only the epmd of the first guard finds its port free, and that one is stopped last.
            guard = started(program, folder, environment, GUARD_THAT_RESTARTS)
            runs.append(stack.enter_context(guard))
        yield [
            replace(node, version=wait_until_ready(node, *run))
            for node, run in zip(nodes, runs, strict=True)
        ]


@contextlib.contextmanager
def started(
    program: Path, folder: Path, environment: Mapping[str, str], script: str
) -> Iterator[Started]:
    """Run a guard script with its node; stop both and delete their folder on exit."""
    with tempfile.TemporaryFile() as output:
        guard = subprocess.Popen(
            ["sh", "-c", script, "sh", str(program)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            # Ctrl-C at the terminal must reach only the test run, which then stops the node.
            start_new_session=True,
        )
        try:
            yield guard, output
        finally:
            stop(guard)
            shutil.rmtree(folder, ignore_errors=True)


def server_program(version: str | None) -> Path:
    """Return the path of the script that starts a version, or the RabbitMQ on PATH.

    On Debian and Ubuntu the command is a wrapper that requires the user rabbitmq and the system's
    folders; the script behind it works for any user and any folder.
    """
    if version is not None:
        rabbitmq_versions.release(version)
        server = rabbitmq_versions.server_of(version)
        if server is None:
            raise RabbitMQMissing(
                f"RabbitMQ {version} is not installed beside the others; "
                f"run `python3 tests/rabbitmq_versions.py {version}`"
            )
        return server
    for name in ("rabbitmq-server", "epmd"):
        if shutil.which(name) is None:
            raise RabbitMQMissing(f"{name} is not on PATH; install the package rabbitmq-server")
    program = Path(shutil.which("rabbitmq-server") or "").resolve()
    if program.name == "rabbitmq-script-wrapper":
        return program.with_name("rabbitmq-server")
    return program


def configuration_of(version: str | None) -> str:
    """Return the lines of rabbitmq.conf for every node of a version."""
    return CONFIGURATION + (rabbitmq_versions.release(version).configuration if version else "")


def free_ports(count: int) -> list[int]:
    """Return ports that the operating system reports as free."""
    with contextlib.ExitStack() as sockets:
        listeners = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


def node_environment(
    program: Path, folder: Path, node: RabbitMQNode, distribution_port: int, epmd_port: int
) -> dict[str, str]:
    """Return an environment in which the machine's own RabbitMQ is neither read nor written."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RABBITMQ_", "ERL_"))
    }
    return inherited | {
        # Debian's rabbitmqctl is a wrapper too, for another node: find the one beside the script first.
        "PATH": f"{program.parent}{os.pathsep}{inherited['PATH']}",
        # Erlang creates its cookie in the home folder; a private cookie keeps other nodes out.
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"{node.name}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(node.port),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }


def wait_until_ready(
    node: RabbitMQNode, guard: "subprocess.Popen[bytes]", output: IO[bytes]
) -> str:
    """Wait until the node offers a connection, and return its version.

    A node opens its port as the last step of starting.
    """
    deadline = time.monotonic() + START_SECONDS
    while (start := connection_start(node.port)) is None:
        if guard.poll() is not None:
            raise RabbitMQNotStarted(f"RabbitMQ ended while it was starting:\n{tail(output)}")
        if time.monotonic() > deadline:
            raise RabbitMQNotStarted(
                f"RabbitMQ was not ready after {START_SECONDS:.0f} seconds:\n{tail(output)}"
            )
        time.sleep(0.05)
    return str(start.server_properties["version"])


def offers_connection(port: int) -> bool:
    """Return whether the peer answers the protocol header with connection.start."""
    return connection_start(port) is not None


def connection_start(port: int) -> connection.Start | None:
    """Send the protocol header; return connection.start, or None without one."""
    decoder = Decoder()
    commands: list[Command] = []
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            peer.sendall(PROTOCOL_HEADER)
            while not commands and (data := peer.recv(65536)):
                commands = list(decoder.feed(data))
    except OSError:
        return None
    method = commands[0].method if commands else None
    return method if isinstance(method, connection.Start) else None


def stop(guard: "subprocess.Popen[bytes]") -> None:
    """Stop the node through its guard script, and kill both if that takes too long."""
    assert guard.stdin is not None
    guard.stdin.close()
    try:
        guard.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()


def tail(output: IO[bytes], size: int = 4000) -> str:
    """Return the end of the output of the node."""
    output.seek(0)
    return output.read().decode(errors="replace")[-size:]


def kill(node: RabbitMQNode) -> None:
    """Kill a node, which has no time to do anything: kill -9."""
    os.kill(int(Path(node.environment["RABBITMQ_PID_FILE"]).read_text()), signal.SIGKILL)


def await_startup(node: RabbitMQNode) -> None:
    """Wait until the node has started all of its applications.

    RabbitMQ: since 4.3 the port is open before. A queue that is deleted then may send no basic.cancel.
    """
    command = ("rabbitmqctl", "--quiet", "await_startup")
    subprocess.run(command, env=dict(node.environment), check=True, capture_output=True)


async def evaluate(node: RabbitMQNode, expressions: str) -> None:
    """Evaluate Erlang expressions in a node; fail if one of them raises an exception."""
    await rabbitmqctl(node, "eval", expressions)


async def rabbitmqctl(node: RabbitMQNode, *arguments: str) -> str:
    """Run `rabbitmqctl` for a node, and return its output; fail if it reports an error."""
    process = await asyncio.create_subprocess_exec(
        *("rabbitmqctl", "--quiet", *arguments),
        env=dict(node.environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, (arguments, output.decode())
    return output.decode()
