"""A real broker in the place of the fake one: its address, and virtual hosts to throw away."""

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
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from aioamqp import AmqpProtocol, Dialer

_SECONDS: Final = 10  # for an answer of the management API
_CTL_SECONDS: Final = 30  # for rabbitmqctl, which starts an Erlang of its own
_MANAGEMENT_PORT: Final = 15672
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class NoVirtualHosts(Exception):
    """No virtual hosts can be made in this way; the text says why."""


class VirtualHosts(Protocol):
    """A way to make virtual hosts and to remove them; calls block."""

    def add(self, name: str) -> None:
        """Make one that the user of the URL may use; raises NoVirtualHosts."""

    def remove(self, name: str) -> None:
        """Remove one with all that is in it."""


class Management:
    """The management API. RabbitMQ: management.html.

    Args:
        url: of the broker; its user has to be an administrator.
        api: the URL of the API; by default port 15672 of the same host.

    Raises:
        NoVirtualHosts: it does not answer, or not to this user.
    """

    def __init__(self, url: str, api: str | None = None) -> None:
        self._user, password, host, _ = _address(url)
        shown = f"[{host}]" if ":" in host else host
        self._api = (api or f"http://{shown}:{_MANAGEMENT_PORT}").rstrip("/")
        credentials = base64.b64encode(f"{self._user}:{password}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/json",
        }
        self._ask("GET", "whoami")

    def _ask(self, verb: str, path: str, body: object = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        address = f"{self._api}/api/{path}"
        request = urllib.request.Request(address, data, self._headers, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):
                pass
        except (OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise NoVirtualHosts(f"{verb} {address}: {error}") from None

    def add(self, name: str) -> None:
        """Make a virtual host with all permissions for the user."""
        self._ask("PUT", f"vhosts/{quote(name, safe='')}", {})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        where = f"{quote(name, safe='')}/{quote(self._user, safe='')}"
        self._ask("PUT", f"permissions/{where}", everything)

    def remove(self, name: str) -> None:
        """Remove a virtual host."""
        self._ask("DELETE", f"vhosts/{quote(name, safe='')}")


class Rabbitmqctl:
    """The command of the same name. RabbitMQ: rabbitmqctl.8.html.

    Raises:
        NoVirtualHosts: there is no such command, it may not do it, or it speaks to another node.
    """

    def __init__(self, url: str) -> None:
        self._user, _, host, port = _address(url)
        if host not in _LOOPBACK:
            raise NoVirtualHosts(f"rabbitmqctl knows nothing of the host {host}")
        if shutil.which("rabbitmqctl") is None:
            raise NoVirtualHosts("rabbitmqctl is not on PATH")
        # it speaks to the node that the environment names, which need not be the one of the URL
        listeners = json.loads(self._run("status", "--formatter", "json")).get("listeners", [])
        if port not in [listener.get("port") for listener in listeners]:
            raise NoVirtualHosts(f"rabbitmqctl knows a node that does not listen on port {port}")

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
    """Find a way to make virtual hosts on the broker at a URL.

    Returns:
        the way, or None when there is none; and one line that says so.
    """
    try:
        return Management(url, api), "a virtual host for each test, by the management API"
    except NoVirtualHosts as no_management:
        try:
            return Rabbitmqctl(url), "a virtual host for each test, by rabbitmqctl"
        except NoVirtualHosts as no_ctl:
            return None, (
                "all tests in one virtual host, where only names of the fixture amqp_name are"
                f" removed again, as none can be made ({no_management}; {no_ctl})"
            )


class RealBroker:
    """What a test gets for a FakeBroker when it runs on a real one: connections, nothing more.

    Args:
        url: of the broker, virtual host included.
        refuse: ends the test when it asks for what only a FakeBroker has.

    Attributes:
        url: the same.
    """

    def __init__(self, url: str, refuse: Callable[[str], NoReturn]) -> None:
        self.url = url
        self._refuse = refuse

    async def connect(self, **options: Any) -> "tuple[asyncio.Transport, AmqpProtocol]":
        """Connect as ``FakeBroker.connect`` does."""
        import aioamqp

        return await aioamqp.from_url(self.url, **options)

    async def listen(self) -> str:
        """Return the URL."""
        return self.url

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self._refuse(
            f"amqp_broker.{name} is only there on the fake broker, and this is a real one"
            " (--amqp-backend)"
        )


@asynccontextmanager
async def borrowed(
    url: str, virtual_hosts: VirtualHosts | None, names: list[str]
) -> AsyncGenerator[str]:
    """Borrow a broker for one test.

    Args:
        url: of the broker.
        virtual_hosts: a way to make one for the test; None to do without.
        names: of queues and exchanges to delete afterwards, looked at then; not needed where there
            is a virtual host for the test.

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
    """Delete what has these names; where nothing has, RabbitMQ answers as if it had."""
    import aioamqp

    if not names:
        return
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        for name in names:
            await channel.queue_delete(name)
            await channel.exchange_delete(name)


def dialer_to(url: str) -> "Dialer":
    """Return a dialer that makes every link to the host of a URL, whatever host it is asked for.

    Nothing that a test does is to reach another broker than the one that was chosen for it.
    """
    from aioamqp.dial import dial_tcp
    from aioamqp.uri import parse_url

    parts = parse_url(url)
    own_port = parts.port or (5671 if parts.is_secure else 5672)
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


def _address(url: str) -> tuple[str, str, str, int]:
    from aioamqp.uri import parse_url

    parts = parse_url(url)
    port = parts.port or (5671 if parts.is_secure else 5672)
    return parts.login, parts.password, parts.host, port
