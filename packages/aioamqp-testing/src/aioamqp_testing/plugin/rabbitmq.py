"""A real RabbitMQ in place of the fake broker, with a temporary virtual host for each test."""

import asyncio
import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, cast
from urllib.parse import quote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from aioamqp import AmqpProtocol, Dialer
    from aioamqp.uri import AmqpUrl

MANAGEMENT_PORT: Final = 15672
"""The port of the management API, unless another one is configured. RabbitMQ: management.html."""

_API_SECONDS: Final = 10  # for a response of the management API
_CTL_SECONDS: Final = 30  # for rabbitmqctl, which starts an Erlang node
_AMQP: Final = ("amqp", "amqp/ssl")  # RabbitMQ: the protocols of listeners
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class NoVirtualHosts(Exception):
    """Virtual hosts cannot be made in this way; the text gives the reason."""


class VirtualHosts(Protocol):
    """A way to make and remove virtual hosts. The calls block."""

    def add(self, name: str) -> None:
        """Make a virtual host with all permissions for the user of the URL.

        Raises:
            NoVirtualHosts: it cannot be made.
        """

    def remove(self, name: str) -> None:
        """Remove a virtual host and its contents."""


class Management:
    """Virtual hosts through the management API. RabbitMQ: management.html.

    Args:
        url: of the broker; its user must be an administrator.
        api: the URL of the API; None for port 15672 of the same host.

    Raises:
        NoVirtualHosts: the API does not respond, refuses the user, or is that of another broker.
    """

    def __init__(self, url: str, api: str | None = None) -> None:
        self._user, password, host, port = _address(url)
        address = f"[{host}]" if ":" in host else host
        self._api = (api or f"http://{address}:{MANAGEMENT_PORT}").rstrip("/")
        credentials = base64.b64encode(f"{self._user}:{password}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/json",
        }
        if "administrator" not in self._request("GET", "whoami").get("tags", ()):
            raise NoVirtualHosts(f"the user {self._user!r} is not an administrator")
        # on port 15672 there may be another node of the machine; the port is not compared if the
        # API was named, because a container may publish other ports than the broker listens on
        self._check_broker(url, None if api else port)

    def _check_broker(self, url: str, port: int | None) -> None:
        overview = self._request("GET", "overview")
        theirs, ours = overview.get("cluster_name"), _cluster_name(url)
        listeners = overview.get("listeners", [])
        ports = [each.get("port") for each in listeners if each.get("protocol") in _AMQP]
        if theirs != ours or (port is not None and port not in ports):
            listed = ", ".join(map(str, ports)) or "none"
            raise NoVirtualHosts(
                f"the management API at {_without_login(self._api)} is that of another broker,"
                f" {theirs} with AMQP on port {listed}; name that of {ours} with --amqp-management"
            )

    def _request(self, verb: str, path: str, body: object = None) -> dict[str, Any]:
        """Send a request; return the object in the response, which is empty without a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self._api}/api/{path}", data, self._headers, method=verb
        )
        try:
            with urllib.request.urlopen(request, timeout=_API_SECONDS) as response:
                received: Any = json.loads(response.read() or b"{}")
        except (OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            where = f"{_without_login(self._api)}/api/{path}"
            raise NoVirtualHosts(f"{verb} {where}: {error}") from None
        return cast("dict[str, Any]", received) if isinstance(received, dict) else {}

    def add(self, name: str) -> None:
        """Make a virtual host with all permissions for the user."""
        self._request("PUT", f"vhosts/{quote(name, safe='')}", {})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        path = f"permissions/{quote(name, safe='')}/{quote(self._user, safe='')}"
        self._request("PUT", path, everything)

    def remove(self, name: str) -> None:
        """Remove a virtual host."""
        self._request("DELETE", f"vhosts/{quote(name, safe='')}")


class Rabbitmqctl:
    """Virtual hosts through the command rabbitmqctl. RabbitMQ: rabbitmqctl.8.html.

    Args:
        url: of the broker, which must run on this machine.

    Raises:
        NoVirtualHosts: the command is missing, lacks permission, or controls another node.
    """

    def __init__(self, url: str) -> None:
        self._user, _, host, port = _address(url)
        if host not in _LOOPBACK:
            raise NoVirtualHosts(f"rabbitmqctl cannot control a broker on host {host}")
        if shutil.which("rabbitmqctl") is None:
            raise NoVirtualHosts("rabbitmqctl is not on PATH")
        # rabbitmqctl controls the node that the environment names, which may be another one
        listeners = json.loads(self._run("status", "--formatter", "json")).get("listeners", [])
        if port not in [listener.get("port") for listener in listeners]:
            raise NoVirtualHosts(f"the node of rabbitmqctl does not listen on port {port}")

    def _run(self, *arguments: str) -> str:
        command = ["rabbitmqctl", "--quiet", *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_CTL_SECONDS, check=True
            )
        except subprocess.CalledProcessError as error:
            lines = (error.stderr or error.stdout).strip().splitlines() or [str(error)]
            raise NoVirtualHosts(f"rabbitmqctl {arguments[0]}: {lines[0]}") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoVirtualHosts(f"rabbitmqctl {arguments[0]}: {error}") from None
        return done.stdout

    def add(self, name: str) -> None:
        """Make a virtual host with all permissions for the user."""
        self._run("add_vhost", name)
        self._run("set_permissions", "-p", name, self._user, ".*", ".*", ".*")

    def remove(self, name: str) -> None:
        """Remove a virtual host."""
        self._run("delete_vhost", name)


def find_virtual_hosts(url: str, api: str | None = None) -> tuple[VirtualHosts | None, str]:
    """Find a way to make virtual hosts on the broker at ``url``.

    Returns:
        the way, or None if there is none; and a description for the header of the report.
    """
    try:
        return Management(url, api), "a virtual host for each test (management API)"
    except NoVirtualHosts as no_management:
        try:
            return Rabbitmqctl(url), "a virtual host for each test (rabbitmqctl)"
        except NoVirtualHosts as no_ctl:
            return None, (
                "one virtual host for all tests, where only names from the fixture amqp_name are"
                f" deleted after a test; no virtual hosts can be made ({no_management}; {no_ctl})"
            )


class RealBroker:
    """The value of the fixture amqp_broker on a real broker. It only offers connections.

    Args:
        url: of the broker, including the virtual host.
        skip: skips the test, with a reason, when it uses what only a FakeBroker has.

    Attributes:
        url: the same.
    """

    def __init__(self, url: str, skip: Callable[[str], NoReturn]) -> None:
        self.url = url
        self._skip = skip

    async def connect(self, **options: Any) -> "tuple[asyncio.Transport, AmqpProtocol]":
        """Connect aioamqp, as ``FakeBroker.connect`` does."""
        import aioamqp

        return await aioamqp.from_url(self.url, **options)

    async def listen(self) -> str:
        """Return the URL."""
        return self.url

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self._skip(
            f"amqp_broker.{name} exists only on the fake broker, and --amqp-backend is a real one"
        )


@asynccontextmanager
async def borrowed(
    url: str, virtual_hosts: VirtualHosts | None, names: list[str]
) -> AsyncGenerator[str]:
    """Make a virtual host for one test and remove it afterwards.

    Args:
        url: of the broker.
        virtual_hosts: a way to make virtual hosts; None to use the virtual host of the URL.
        names: of queues and exchanges. Without a virtual host of its own, what has these names at
            the end of the test is deleted.

    Returns:
        the URL for the test.
    """
    if virtual_hosts is None:
        try:
            yield url
        finally:
            await _delete(url, names)
        return
    name = f"aioamqp-testing-{token_hex(6)}"
    try:
        await asyncio.to_thread(virtual_hosts.add, name)
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        await asyncio.to_thread(virtual_hosts.remove, name)


async def _delete(url: str, names: list[str]) -> None:
    """Delete queues and exchanges. RabbitMQ: deleting what does not exist succeeds."""
    import aioamqp

    if not names:
        return
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        for name in names:
            await channel.queue_delete(name)
            await channel.exchange_delete(name)


def dialer_to(url: str) -> "Dialer":
    """Return a dialer that connects to the host of ``url``, whatever host a program names.

    So no test can reach another broker than the one that was chosen for it.
    """
    from aioamqp.dial import dial_tcp
    from aioamqp.uri import parse_url

    parts = parse_url(url)
    own_port = _port(parts)
    own_ssl = parts.tls.context() if parts.is_secure else None

    async def dial(
        protocol_factory: Callable[[], Any],
        host: str,
        port: int | str,
        *,
        ssl: object,
        server_hostname: str | None = None,
    ) -> tuple[asyncio.Transport, Any]:
        del host, port, ssl, server_hostname
        name = parts.server_name_indication
        return await dial_tcp(
            protocol_factory, parts.host, own_port, ssl=own_ssl, server_hostname=name
        )

    return dial


def _cluster_name(url: str) -> object:
    """Return the name of the cluster that the broker is a node of.

    Raises:
        NoVirtualHosts: the broker cannot be reached.
    """
    import aioamqp

    async def connect() -> object:
        async with aioamqp.from_url(url) as protocol:
            return (protocol.server_properties or {}).get("cluster_name")

    loop = asyncio.new_event_loop()  # asyncio.run would unset the event loop of the program
    try:
        return loop.run_until_complete(connect())
    except (OSError, aioamqp.AioamqpException) as error:
        raise NoVirtualHosts(str(error)) from None
    finally:
        loop.close()


def _without_login(url: str) -> str:
    """Return a URL without user name and password."""
    before, separator, after = url.partition("://")
    return f"{before}{separator}{after.rpartition('@')[2]}"


def _address(url: str) -> tuple[str, str, str, int]:
    from aioamqp.uri import parse_url

    parts = parse_url(url)
    return parts.login, parts.password, parts.host, _port(parts)


def _port(parts: "AmqpUrl") -> int:
    from aioamqp.uri import default_port

    return parts.port or default_port(is_secure=parts.is_secure)
