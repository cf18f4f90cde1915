"""The routes of the management API: who may call them, and what they do and answer.

RabbitMQ: management.html, and the errors of its routes as they are. The routes know nothing of HTTP
but methods, paths and status codes; ``server.py`` serves them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, cast
from urllib.parse import quote_plus, unquote_plus

from amqp_codec import FieldTable, FieldValue, Int64, ReplyCode

from ..control.administration import Administration
from ..model import BrokerError, Permissions, User, UserAccess, VirtualHost
from ..model.limits import NODE_NAME
from ..session import Session
from ..transport.listener import Port
from . import views

_T = TypeVar("_T")

_Body: TypeAlias = Mapping[str, Any]

_LEVELS: Final = {
    "administrator": "Not administrator user",
    "monitoring": "Not monitor user",
    "management": "Not management user",
}
"""What a route requires of its user, the highest first, and the reason if that is missing."""

_TAGS: Final = {
    "administrator": {"administrator"},
    "monitoring": {"administrator", "monitoring"},
    "management": {"administrator", "monitoring", "policymaker", "management"},
}


class Answer(NamedTuple):
    """The answer of a route.

    Attributes:
        status: the status code.
        body: for JSON; None for no body.
        location: of what was created, if it has no other name.
    """

    status: int
    body: object = None
    location: str = ""


class Refused(Exception):
    """A request that is refused.

    Attributes:
        answer: the answer.
    """

    def __init__(self, status: int, error: str, reason: str) -> None:
        super().__init__(reason)
        self.answer = Answer(status, {"error": error, "reason": reason})


@dataclass(frozen=True)
class Request:
    """A request for one route.

    Attributes:
        user: who sends it.
        names: the names in the path.
        body: the object in the body; empty without one.
        reason: the header X-Reason.
    """

    user: User
    names: Mapping[str, str]
    body: _Body
    reason: str

    def has(self, level: str) -> bool:
        """Return whether the tags of the user allow what a level requires."""
        return not _TAGS[level].isdisjoint(self.user.tags)


def not_found() -> Refused:
    """Return the error for something that does not exist."""
    return Refused(404, "Object Not Found", "Not Found")


def _bad_request(reason: str) -> Refused:
    return Refused(400, "bad_request", reason)


def _refused(error: BrokerError) -> Refused:
    """Return what the API answers where AMQP would close the channel."""
    match error.reply_code:
        case ReplyCode.NOT_FOUND:
            return Refused(404, "not_found", error.text)
        case ReplyCode.ACCESS_REFUSED:
            return Refused(401, "not_authorised", "Access refused.")
        case _:
            return _bad_request(error.text)


class Api:
    """The management API of a broker.

    Args:
        broker: the broker.
        ports: returns the ports that it listens on.
    """

    def __init__(self, broker: Administration, ports: Callable[[], list[Port]]) -> None:
        self._broker = broker
        self._node = broker.node
        self._ports = ports

    def log_in(self, name: str, password: str) -> User:
        """Return a user whose password is right.

        Raises:
            Refused: 401.
        """
        user = self._node.users.get(name)
        if user is None or user.password != password:
            raise Refused(401, "not_authorized", "Login failed")
        return user

    def call(self, route: "Route", request: Request) -> Answer:
        """Call a route, or return the error for what is wrong with the request."""
        with self._broker.lock:
            return self._call(route, request)

    def _call(self, route: "Route", request: Request) -> Answer:
        try:
            for level in ("management", route.level):
                if not request.has(level):
                    raise Refused(401, "not_authorised", _LEVELS[level])
            answer = route.function(self, request)
        except Refused as refused:
            return refused.answer
        except BrokerError as error:
            return _refused(error).answer
        for vhost in self._node.vhosts.values():
            vhost.agenda.run_pending()
        return answer

    def refuse(self, method: str, path: str) -> Answer:
        """Answer a request that this API does not support, and note it as the broker does."""
        what = f"{method} {path} of the management API"
        self._broker.refused.append(what)
        return Refused(
            404, "Object Not Found", f"aioamqp-testing cannot do this yet: {what}"
        ).answer

    # ----------------------------------------------------------------------------- the broker

    def overview(self, request: Request) -> Answer:
        """Show the state of the whole broker."""
        shown = views.overview(self._node, self._open_sessions(), self._ports())
        if not request.has("monitoring"):
            del shown["listeners"]
        return Answer(200, shown)

    def cluster_name(self, request: Request) -> Answer:
        """Show the name of the cluster."""
        del request
        return Answer(200, {"name": NODE_NAME})

    def who_am_i(self, request: Request) -> Answer:
        """Show the user of the request."""
        return Answer(200, {"name": request.user.name, "tags": sorted(request.user.tags)})

    def nodes(self, request: Request) -> Answer:
        """List the nodes: there is one."""
        del request
        return Answer(200, [views.node(self._node)])

    def node(self, request: Request) -> Answer:
        """Show one node."""
        if request.names["node"] != NODE_NAME:
            raise not_found()
        return Answer(200, views.node(self._node))

    def check_alarms(self, request: Request) -> Answer:
        """Check that no alarm blocks publishers."""
        del request
        return self._alarms("in the cluster")

    def check_local_alarms(self, request: Request) -> Answer:
        """Check that no alarm of this node blocks publishers."""
        del request
        return self._alarms("on the node")

    def _alarms(self, where: str) -> Answer:
        alarms = views.alarms(self._node)
        if not alarms:
            return Answer(200, {"status": "ok"})
        reason = f"There are alarms in effect {where}"
        return Answer(503, {"status": "failed", "reason": reason, "alarms": alarms})

    def check_vhosts(self, request: Request) -> Answer:
        """Check that no virtual host has crashed."""
        del request
        down = [vhost.name for vhost in self._node.vhosts.values() if vhost.is_down]
        if not down:
            return Answer(200, {"status": "ok"})
        reason = "Some virtual hosts are down"
        return Answer(503, {"status": "failed", "reason": reason, "virtual-hosts": down})

    def check_aliveness(self, request: Request) -> Answer:
        """Check that a virtual host accepts and delivers messages."""
        if self._vhost(request).is_down:
            return Answer(503, {"status": "failed", "reason": "the virtual host is down"})
        return Answer(200, {"status": "ok"})

    # ----------------------------------------------------------------------------- virtual hosts

    def vhosts(self, request: Request) -> Answer:
        """List the virtual hosts that the user has access to."""
        return Answer(200, [views.vhost(each) for each in self._visible(request)])

    def vhost(self, request: Request) -> Answer:
        """Show a virtual host."""
        return Answer(200, views.vhost(self._vhost(request)))

    def put_vhost(self, request: Request) -> Answer:
        """Add a virtual host, for which its creator gets all permissions."""
        name = request.names["vhost"]
        if name in self._node.vhosts:
            return Answer(204)
        self._node.add_vhost(name)
        request.user.permissions[name] = Permissions()
        return Answer(201)

    def delete_vhost(self, request: Request) -> Answer:
        """Delete a virtual host with its contents."""
        self._broker.delete_vhost(self._vhost(request).name)
        return Answer(204)

    # ----------------------------------------------------------------------------- users

    def users(self, request: Request) -> Answer:
        """List the users."""
        del request
        return Answer(200, [views.user(each) for each in _by_name(self._node.users)])

    def user(self, request: Request) -> Answer:
        """Show a user."""
        return Answer(200, views.user(self._user(request)))

    def put_user(self, request: Request) -> Answer:
        """Add a user, or change the password and the tags."""
        name, body = request.names["user"], request.body
        if "tags" not in body:
            raise _bad_request("tags_not_present")
        if "password_hash" in body:
            raise _bad_request("aioamqp-testing needs the password, not password_hash")
        tags = body["tags"]
        is_list = isinstance(tags, list)
        listed = cast("Iterable[Any]", tags) if is_list else str(tags).split(",")
        password = str(body.get("password") or token_hex())  # without one, nobody can log in
        is_new = name not in self._node.users
        if is_new:
            self._broker.add_user(name, password)
        else:
            self._broker.change_password(name, password)
        self._node.users[name].tags = frozenset(
            filter(None, (str(each).strip() for each in listed))
        )
        return Answer(201 if is_new else 204)

    def delete_user(self, request: Request) -> Answer:
        """Delete a user."""
        self._broker.delete_user(self._user(request).name)
        return Answer(204)

    # ----------------------------------------------------------------------------- permissions

    def permissions(self, request: Request) -> Answer:
        """List permissions: all of them, those of a user, or those for a virtual host."""
        names = request.names
        users = [self._user(request)] if "user" in names else _by_name(self._node.users)
        vhost = self._vhost(request).name if "vhost" in names else None
        return Answer(
            200,
            [
                views.permissions(user, name)
                for user in users
                for name in user.permissions
                if vhost in (None, name)
            ],
        )

    def permission(self, request: Request) -> Answer:
        """Show the permissions of a user for a virtual host."""
        user, vhost = self._user(request), self._vhost(request)
        if vhost.name not in user.permissions:
            raise not_found()
        return Answer(200, views.permissions(user, vhost.name))

    def put_permission(self, request: Request) -> Answer:
        """Set the permissions of a user for a virtual host."""
        names, body = request.names, request.body
        if names["user"] not in self._node.users or names["vhost"] not in self._node.vhosts:
            raise _bad_request("vhost_or_user_not_found")
        missing = [each for each in ("configure", "write", "read") if each not in body]
        if missing:
            listed = ",".join(f"{{key_missing,{each}}}" for each in missing)
            raise _bad_request(f"[{listed}]")
        is_new = names["vhost"] not in self._node.users[names["user"]].permissions
        try:
            self._broker.set_permissions(
                names["user"],
                names["vhost"],
                configure=str(body["configure"]),
                write=str(body["write"]),
                read=str(body["read"]),
            )
        except ValueError as error:
            raise _bad_request(str(error)) from None
        return Answer(201 if is_new else 204)

    def delete_permission(self, request: Request) -> Answer:
        """Remove the permissions of a user for a virtual host."""
        self.permission(request)
        self._broker.clear_permissions(request.names["user"], request.names["vhost"])
        return Answer(204)

    # ----------------------------------------------------------------------------- queues

    def queues(self, request: Request) -> Answer:
        """List the queues of all virtual hosts, or of one."""
        return Answer(
            200,
            [
                views.queue(vhost, each)
                for vhost in self._visible(request)
                for each in _by_name(vhost.queues)
            ],
        )

    def queue(self, request: Request) -> Answer:
        """Show a queue with its consumers."""
        vhost = self._vhost(request)
        queue = _named(vhost.queues, request.names["queue"])
        channels = [
            (session, channel) for session in self._open_sessions() for channel in session.channels
        ]
        consumers = views.consumers(vhost, queue, channels)
        return Answer(200, views.queue(vhost, queue) | {"consumer_details": consumers})

    def put_queue(self, request: Request) -> Answer:
        """Declare a queue."""
        vhost, name = self._vhost_to_change(request), request.names["queue"]
        is_new = name not in vhost.queues
        vhost.declare_queue(
            name,
            None,
            durable=_flag(request.body, "durable"),
            auto_delete=_flag(request.body, "auto_delete"),
            arguments=_arguments(request.body),
            access=UserAccess(request.user, vhost.name),
        )
        return Answer(201 if is_new else 204)

    def delete_queue(self, request: Request) -> Answer:
        """Delete a queue."""
        vhost = self._vhost(request)
        queue = _named(vhost.queues, request.names["queue"])
        access = UserAccess(request.user, vhost.name)
        vhost.delete_queue(queue.name, queue.owner, access=access)
        return Answer(204)

    def purge_queue(self, request: Request) -> Answer:
        """Delete the ready messages of a queue."""
        vhost = self._vhost(request)
        queue = _named(vhost.queues, request.names["queue"])
        vhost.queue(queue.name, queue.owner, UserAccess(request.user, vhost.name)).purge()
        return Answer(204)

    # ----------------------------------------------------------------------------- exchanges

    def exchanges(self, request: Request) -> Answer:
        """List the exchanges of all virtual hosts, or of one."""
        return Answer(
            200,
            [
                views.exchange(vhost, each)
                for vhost in self._visible(request)
                for each in _by_name(vhost.exchanges)
            ],
        )

    def exchange(self, request: Request) -> Answer:
        """Show an exchange."""
        vhost = self._vhost(request)
        name = _exchange_name(request.names["exchange"])
        return Answer(200, views.exchange(vhost, _named(vhost.exchanges, name)))

    def put_exchange(self, request: Request) -> Answer:
        """Declare an exchange."""
        vhost, name = self._vhost_to_change(request), _exchange_name(request.names["exchange"])
        is_new = name not in vhost.exchanges
        vhost.declare_exchange(
            name,
            str(request.body.get("type", "direct")),
            durable=_flag(request.body, "durable"),
            auto_delete=_flag(request.body, "auto_delete"),
            internal=_flag(request.body, "internal"),
            arguments=_arguments(request.body),
            access=UserAccess(request.user, vhost.name),
        )
        return Answer(201 if is_new else 204)

    def delete_exchange(self, request: Request) -> Answer:
        """Delete an exchange."""
        vhost = self._vhost(request)
        exchange = _named(vhost.exchanges, _exchange_name(request.names["exchange"]))
        vhost.delete_exchange(exchange.name, access=UserAccess(request.user, vhost.name))
        return Answer(204)

    # ----------------------------------------------------------------------------- bindings

    def bindings(self, request: Request) -> Answer:
        """List bindings: all of them, or those that the names in the path select."""
        return Answer(
            200,
            [
                views.binding(vhost, each)
                for vhost in self._visible(request)
                for each in _selected(views.bindings_of(vhost), request.names)
            ],
        )

    def bindings_of_queue(self, request: Request) -> Answer:
        """List the bindings of a queue."""
        names = {"destination": request.names["queue"], "destination_type": "queue"}
        return self._bindings_of(request, names)

    def bindings_of_source(self, request: Request) -> Answer:
        """List the bindings by which an exchange routes."""
        return self._bindings_of(request, {"source": request.names["exchange"]})

    def bindings_of_destination(self, request: Request) -> Answer:
        """List the bindings by which an exchange receives messages of others."""
        name = _exchange_name(request.names["exchange"])
        return self._bindings_of(request, {"destination": name, "destination_type": "exchange"})

    def _bindings_of(self, request: Request, names: Mapping[str, str]) -> Answer:
        vhost = self._vhost(request)
        found = _selected(views.bindings_of(vhost), names)
        return Answer(200, [views.binding(vhost, each) for each in found])

    def post_binding(self, request: Request) -> Answer:
        """Bind a queue or an exchange."""
        vhost, names = self._vhost_to_change(request), request.names
        key, arguments = str(request.body.get("routing_key", "")), _arguments(request.body)
        source = _exchange_name(names["source"])
        access = UserAccess(request.user, vhost.name)
        if names["destination_type"] == "queue":
            owner = getattr(vhost.queues.get(names["destination"]), "owner", None)
            vhost.bind_queue(names["destination"], source, key, arguments, owner, access)
        else:
            vhost.bind_exchange(names["destination"], source, key, arguments, access)
        kind, name = names["destination_type"], names["destination"]
        key = views.QueueBinding(source, name, kind, key, arguments).properties_key
        return Answer(201, location=f"{quote_plus(name)}/{quote_plus(key)}")

    def binding(self, request: Request) -> Answer:
        """Show a binding."""
        vhost, found = self._binding(request)
        return Answer(200, views.binding(vhost, found))

    def delete_binding(self, request: Request) -> Answer:
        """Remove a binding."""
        vhost, found = self._binding(request)
        access = UserAccess(request.user, vhost.name)
        key, arguments = found.routing_key, dict(found.arguments)
        if found.destination_type == "queue":
            owner = vhost.queues[found.destination].owner
            vhost.unbind_queue(found.destination, found.source, key, arguments, owner, access)
        else:
            vhost.unbind_exchange(found.destination, found.source, key, arguments, access)
        return Answer(204)

    def _binding(self, request: Request) -> tuple[VirtualHost, views.QueueBinding]:
        vhost = self._vhost(request)
        wanted = unquote_plus(request.names["properties_key"])
        for each in _selected(views.bindings_of(vhost), request.names):
            if unquote_plus(each.properties_key) == wanted:
                return vhost, each
        raise not_found()

    # ----------------------------------------------------------------------------- connections

    def connections(self, request: Request) -> Answer:
        """List the connections that the user may see."""
        sessions = self._open_sessions()
        if not request.has("monitoring"):
            sessions = [each for each in sessions if each.user == request.user.name]
        return Answer(200, [views.connection(each) for each in sessions])

    def connection(self, request: Request) -> Answer:
        """Show a connection."""
        return Answer(200, views.connection(self._connection(request)))

    def delete_connection(self, request: Request) -> Answer:
        """Close a connection."""
        reason = request.reason or "Closed via management plugin"
        self._broker.close_connection(self._connection(request), reason)
        return Answer(204)

    def _connection(self, request: Request) -> Session:
        for session in self._open_sessions():
            if session.name == request.names["connection"]:
                if session.user != request.user.name and not request.has("monitoring"):
                    raise Refused(401, "not_authorised", "User not authorised to access object")
                return session
        raise not_found()

    # ----------------------------------------------------------------------------- looking up

    def _open_sessions(self) -> list[Session]:
        return [session for session in self._broker.sessions if session.is_open]

    def _visible(self, request: Request) -> list[VirtualHost]:
        """Return the virtual host in the path, or else all that the user has access to."""
        if "vhost" in request.names:
            return [self._vhost(request)]
        vhosts = _by_name(self._node.vhosts)
        return [each for each in vhosts if each.name in request.user.permissions]

    def _vhost(self, request: Request) -> VirtualHost:
        vhost = _named(self._node.vhosts, request.names["vhost"])
        if not request.has("administrator") and vhost.name not in request.user.permissions:
            text = "User not authorised to access virtual host"
            raise Refused(401, "not_authorised", text)
        return vhost

    def _vhost_to_change(self, request: Request) -> VirtualHost:
        if request.names["vhost"] not in self._node.vhosts:
            raise Refused(404, "not_found", "vhost_not_found")
        return self._vhost(request)

    def _user(self, request: Request) -> User:
        return _named(self._node.users, request.names["user"])


class Route(NamedTuple):
    """A route of the API.

    Attributes:
        method: the method of HTTP.
        path: the path behind ``/api/``, with names in braces.
        function: answers a request.
        level: what is required of the user: one of the tags administrator, monitoring, management.
        names: names that the path implies.
    """

    method: str
    path: str
    function: Callable[[Api, Request], Answer]
    level: str = "management"
    names: Mapping[str, str] = {}


def _routes() -> Iterable[Route]:
    yield Route("GET", "overview", Api.overview)
    yield Route("GET", "cluster-name", Api.cluster_name)
    yield Route("GET", "whoami", Api.who_am_i)
    yield Route("GET", "nodes", Api.nodes, "monitoring")
    yield Route("GET", "nodes/{node}", Api.node, "monitoring")
    yield Route("GET", "health/checks/alarms", Api.check_alarms)
    yield Route("GET", "health/checks/local-alarms", Api.check_local_alarms)
    yield Route("GET", "health/checks/virtual-hosts", Api.check_vhosts)
    yield Route("GET", "aliveness-test/{vhost}", Api.check_aliveness)

    vhost, user = "vhosts/{vhost}", "users/{user}"
    yield Route("GET", "vhosts", Api.vhosts)
    yield Route("GET", vhost, Api.vhost, "administrator")
    yield Route("PUT", vhost, Api.put_vhost, "administrator")
    yield Route("DELETE", vhost, Api.delete_vhost, "administrator")
    yield Route("GET", f"{vhost}/permissions", Api.permissions, "administrator")
    yield Route("GET", "users", Api.users, "administrator")
    yield Route("GET", user, Api.user, "administrator")
    yield Route("PUT", user, Api.put_user, "administrator")
    yield Route("DELETE", user, Api.delete_user, "administrator")
    yield Route("GET", f"{user}/permissions", Api.permissions, "administrator")
    permission = "permissions/{vhost}/{user}"
    yield Route("GET", "permissions", Api.permissions, "administrator")
    yield Route("GET", permission, Api.permission, "administrator")
    yield Route("PUT", permission, Api.put_permission, "administrator")
    yield Route("DELETE", permission, Api.delete_permission, "administrator")

    queue, exchange = "queues/{vhost}/{queue}", "exchanges/{vhost}/{exchange}"
    yield Route("GET", "queues", Api.queues)
    yield Route("GET", "queues/{vhost}", Api.queues)
    yield Route("GET", queue, Api.queue)
    yield Route("PUT", queue, Api.put_queue)
    yield Route("DELETE", queue, Api.delete_queue)
    yield Route("DELETE", f"{queue}/contents", Api.purge_queue)
    yield Route("GET", f"{queue}/bindings", Api.bindings_of_queue)
    yield Route("GET", "exchanges", Api.exchanges)
    yield Route("GET", "exchanges/{vhost}", Api.exchanges)
    yield Route("GET", exchange, Api.exchange)
    yield Route("PUT", exchange, Api.put_exchange)
    yield Route("DELETE", exchange, Api.delete_exchange)
    yield Route("GET", f"{exchange}/bindings/source", Api.bindings_of_source)
    yield Route("GET", f"{exchange}/bindings/destination", Api.bindings_of_destination)

    yield Route("GET", "bindings", Api.bindings)
    yield Route("GET", "bindings/{vhost}", Api.bindings)
    for letter, kind in (("q", "queue"), ("e", "exchange")):
        between = f"bindings/{{vhost}}/e/{{source}}/{letter}/{{destination}}"
        implied = {"destination_type": kind}
        yield Route("GET", between, Api.bindings, names=implied)
        yield Route("POST", between, Api.post_binding, names=implied)
        one = f"{between}/{{properties_key}}"
        yield Route("GET", one, Api.binding, names=implied)
        yield Route("DELETE", one, Api.delete_binding, names=implied)

    yield Route("GET", "connections", Api.connections)
    yield Route("GET", "connections/{connection}", Api.connection)
    yield Route("DELETE", "connections/{connection}", Api.delete_connection)


ROUTES: Final = tuple(_routes())


def _named(known: Mapping[str, _T], name: str) -> _T:
    if name not in known:
        raise not_found()
    return known[name]


def _by_name(known: Mapping[str, _T]) -> list[_T]:
    return [known[name] for name in sorted(known)]


def _exchange_name(name: str) -> str:
    return "" if name == views.DEFAULT_EXCHANGE else name


def _selected(
    bindings: list[views.QueueBinding], names: Mapping[str, str]
) -> list[views.QueueBinding]:
    wanted = dict(names)
    if "source" in wanted:
        wanted["source"] = _exchange_name(wanted["source"])
    ends = ("source", "destination", "destination_type")
    return [
        each
        for each in bindings
        if all(wanted.get(end, getattr(each, end)) == getattr(each, end) for end in ends)
    ]


def _flag(body: _Body, name: str) -> bool:
    flag = body.get(name, False)
    if flag not in (True, False, "true", "false"):
        raise _bad_request(f"{name} must be true or false, not {flag!r}")
    return flag in (True, "true")


def _arguments(body: _Body) -> FieldTable:
    arguments = _field_value(body.get("arguments", {}))
    if not isinstance(arguments, Mapping):
        raise _bad_request("arguments must be an object")
    return arguments


def _field_value(value: Any) -> FieldValue:
    """Convert a value of JSON to a field value. RabbitMQ: integers have the type long."""
    if isinstance(value, bool) or not isinstance(value, int | list | dict):
        converted: FieldValue = value
        return converted
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise _bad_request(f"{value} has more than 64 bits")
        return Int64(value)
    if isinstance(value, list):
        return [_field_value(each) for each in cast("Iterable[Any]", value)]
    table = cast("Mapping[str, Any]", value)
    return {name: _field_value(each) for name, each in table.items()}
