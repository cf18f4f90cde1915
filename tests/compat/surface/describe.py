"""Description of the public surface of the installed aioamqp, 0.15 or this one.

    python tests/compat/surface/describe.py URL

prints the description as JSON. The results of methods are found by calling them on the broker at the
URL. It needs only the standard library and aioamqp, so it also runs with 0.15:
``tools/describe_0_15.py`` does that. The tests call ``describe`` for the aioamqp of this repository.
"""

import asyncio
import importlib
import inspect
import json
import sys
from typing import Any

Description = dict[str, dict[str, Any]]
"""By section and name: a text, or a list of texts."""

MODULES = (
    "aioamqp",
    "aioamqp.channel",
    "aioamqp.constants",
    "aioamqp.envelope",
    "aioamqp.exceptions",
    "aioamqp.frame",
    "aioamqp.properties",
    "aioamqp.protocol",
    "aioamqp.version",
)

EXCEPTIONS = """
    AioamqpException('x')
    AmqpClosedConnection()
    AmqpClosedConnection('x')
    SynchronizationError('x')
    EmptyQueue()
    NoChannelAvailable()
    ChannelClosed()
    ChannelClosed(404, 'x')
    ChannelClosed(code=404, message='x')
    DuplicateConsumerTag('tag')
    ConsumerCancelled('tag')
    PublishFailed(7)
    PublishFailed(delivery_tag=7)
"""

VALUES = """
    envelope.Envelope('tag', 7, 'exchange', 'key', True)
    envelope.Envelope(consumer_tag='tag', delivery_tag=7, exchange_name='exchange', routing_key='key', is_redeliver=True)
    envelope.ReturnEnvelope(312, 'NO_ROUTE', 'exchange', 'key')
    envelope.ReturnEnvelope(reply_code=312, reply_text='NO_ROUTE', exchange_name='exchange', routing_key='key')
    properties.Properties()
    properties.Properties('text/plain', 'gzip', {'a': 1}, 2, 3, 'correlation', 'reply', '60000', 'id', 9, 'type', 'user', 'app', 'cluster')
"""

# The calls are made in this order on one connection. `channel` is its first channel, `confirming` the
# second, and `closed` the third, which is closed before; `seen` is a callback. E and F are names of
# exchanges, Q is the name of a queue. Repeated calls are spelled differently, because each call is a key.
CALLS = """
    protocol.ensure_open()
    protocol.send_heartbeat()
    protocol.channel()
    protocol.channel(return_callback=seen)
    protocol.channel(colour='red')
    channel.flow(True)
    channel.exchange_declare('E', 'direct')
    channel.exchange_declare('E', 'direct', no_wait=True)
    channel.exchange('F', 'direct', durable=True)
    channel.exchange_bind('F', 'E', 'key')
    channel.exchange_unbind('F', 'E', 'key')
    channel.exchange_bind('F', 'E', 'key', no_wait=True)
    channel.exchange_unbind('F', 'E', 'key', no_wait=True)
    channel.exchange_delete('F')
    channel.exchange_delete('F', no_wait=True)
    channel.queue_declare('Q')
    channel.queue_declare('Q', no_wait=True)
    channel.queue(queue_name='Q')
    channel.queue_bind('Q', 'E', 'key')
    channel.queue_bind('Q', 'E', 'key', no_wait=True)
    channel.queue_unbind('Q', 'E', 'key')
    channel.queue_purge('Q')
    channel.queue_purge('Q', no_wait=True)
    channel.basic_qos(prefetch_count=10)
    channel.basic_qos(prefetch_count=100000)
    channel.basic_qos(prefetch_size=2**32)
    channel.basic_qos(prefetch_count='1')
    channel.basic_publish(b'body', '', 'Q')
    channel.basic_publish(payload=bytearray(b'body'), exchange_name='', routing_key='Q', properties={'priority': 1})
    channel.basic_publish(memoryview(b'body'), '', 'Q')
    channel.basic_publish(5, '', 'Q')
    channel.basic_publish(b'body', '', 'k' * 256)
    channel.publish(b'body', '', 'Q')
    channel.basic_get('Q')
    channel.basic_get('Q', no_ack=True)
    channel.basic_client_ack(1)
    channel.basic_get(queue_name='Q')
    channel.basic_client_nack(3, requeue=False)
    channel.basic_get('Q', False)
    channel.basic_reject(4)
    channel.basic_get('Q', no_ack=False)
    channel.basic_recover()
    channel.basic_recover(True)
    channel.basic_recover_async()
    channel.basic_recover_async(True)
    channel.basic_consume(seen, 'Q', consumer_tag='tag')
    channel.basic_consume(seen, 'Q', consumer_tag='other', no_wait=True)
    channel.basic_cancel('tag')
    channel.basic_cancel('other', no_wait=True)
    channel.basic_cancel('never')
    channel.add_cancellation_callback(seen)
    confirming.confirm_select()
    confirming.confirm_select(no_wait=True)
    confirming.publish(b'body', '', 'Q')
    confirming.basic_publish(b'body', '', 'Q')
    channel.queue_delete('Q')
    channel.queue_delete('Q', no_wait=True)
    channel.exchange_delete('E', if_unused=True)
    closed.close()
    closed.queue_declare('Q')
    closed.basic_publish(b'body', '', 'Q')
    closed.basic_client_ack(1)
    channel.queue_declare('Q', passive=True)
    channel.queue_declare('Q', durable=True)
    confirming.close()
    protocol.release_channel_id(4)
    protocol.close()
    protocol.close(no_wait=True)
    protocol.wait_closed()
    protocol.wait_closed(timeout=1)
    protocol.send_heartbeat(*())
    protocol.ensure_open(*())
    protocol.channel(*())
"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


async def describe(url: str, namespace: str) -> Description:
    """Describe the installed aioamqp.

    Args:
        url: of a broker on which the methods are called.
        namespace: prefix of the names that are declared there.
    """
    modules = {name: importlib.import_module(name) for name in MODULES}
    classes = {
        f"{name}.{cls.__name__}": cls
        for name, module in modules.items()
        for cls in vars(module).values()
        if isinstance(cls, type) and cls.__module__ == name and not cls.__name__.startswith("_")
    }
    description: Description = {
        "names": {name: public(place) for name, place in {**modules, **classes}.items()},
        "bases": {
            name: [f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__[1:-1]]
            for name, cls in classes.items()
        },
        "slots": {
            name: list(vars(cls)["__slots__"])
            for name, cls in classes.items()
            if "__slots__" in vars(cls)
        },
        "signatures": signatures(modules, classes),
        "aliases": aliases(classes),
        "constants": constants(modules),
        "exceptions": {
            made: exception(eval(made, vars(modules["aioamqp.exceptions"])))
            for made in lines(EXCEPTIONS)
        },
        "values": {made: value_of(eval(made, vars(modules["aioamqp"]))) for made in lines(VALUES)},
    }
    return {**description, **await observe(url, namespace)}


def public(place: object) -> list[str]:
    return sorted(name for name in dir(place) if not name.startswith("_"))


def signatures(modules: dict[str, Any], classes: dict[str, type]) -> dict[str, str]:
    found = {
        f"{name}.{function.__name__}": signature(function)
        for name, module in modules.items()
        for function in [getattr(module, attribute) for attribute in public(module)]
        if inspect.isfunction(function) and not function.__name__.startswith("_")
        if function.__module__.startswith("aioamqp")
    }
    for name, cls in classes.items():
        made_by = inspect.getattr_static(cls, "__init__")
        if inspect.isfunction(made_by):
            found[f"{name}.__init__"] = signature(made_by)
        for attribute in public(cls):
            member = inspect.getattr_static(cls, attribute)
            if inspect.isfunction(member):
                found[f"{name}.{attribute}"] = signature(member)
            elif isinstance(member, property):
                found[f"{name}.{attribute}"] = "property"
    return found


def signature(function: Any) -> str:
    """Return a signature without annotations, with "async" for coroutine functions."""
    # Before inspect.markcoroutinefunction (3.12), asyncio recognized more coroutine functions.
    module = inspect if hasattr(inspect, "markcoroutinefunction") else asyncio
    parameters = [
        p.replace(annotation=p.empty)
        if p.default is p.empty or not isinstance(p.default, type)
        else p.replace(annotation=p.empty, default=Named(p.default))
        for p in inspect.signature(function).parameters.values()
    ]
    kind = "async " if module.iscoroutinefunction(function) else ""
    return kind + str(inspect.Signature(parameters))


class Named:
    """A default value that is a class, shown by its name."""

    def __init__(self, cls: type) -> None:
        self.cls = cls

    def __repr__(self) -> str:
        return self.cls.__name__


def aliases(classes: dict[str, type]) -> dict[str, str]:
    found = {}
    for name, cls in classes.items():
        for attribute in public(cls):
            member = inspect.getattr_static(cls, attribute)
            if inspect.isfunction(member) and member.__name__ != attribute:
                found[f"{name}.{attribute}"] = member.__name__
    return found


def constants(modules: dict[str, Any]) -> dict[str, str]:
    return {
        f"{name}.{attribute}": shape(value) if attribute == "__version__" else repr(value)
        for name, module in modules.items()
        for attribute, value in sorted(vars(module).items())
        if attribute in ("__version__", "__packagename__") or not attribute.startswith("_")
        if isinstance(value, (bool, int, str, bytes, tuple))
    } | {
        f"{name}.logger": f"the logger {module.logger.name}"
        for name, module in modules.items()
        if hasattr(module, "logger")
    }


def exception(error: Exception) -> str:
    """Describe args, str, repr and attributes of an exception."""
    shown = [f"args {error.args}", f"str {str(error)!r}"]
    plain = f"{type(error).__name__}({', '.join(map(repr, error.args))})"
    if repr(error) == plain:
        shown.append(f"repr {plain}")
    elif str(error.args[0]) in repr(error):
        shown.append(f"repr is a sentence that names {error.args[0]}")
    shown += [f"{name} {value!r}" for name, value in sorted(vars(error).items())]
    return ", ".join(shown)


def value_of(made: Any) -> str:
    return ", ".join(f"{name} {getattr(made, name)!r}" for name in type(made).__slots__)


async def observe(url: str, namespace: str) -> Description:
    """Make all calls; describe their outcomes and the attributes of the objects."""
    import aioamqp

    fresh = attributes(aioamqp.AmqpProtocol())
    chosen = attributes(
        aioamqp.AmqpProtocol(client_properties={"a": 1}, channel_max=2, heartbeat=3)
    )
    _, protocol = connected = await aioamqp.from_url(url)
    names: dict[str, Any] = {
        "protocol": protocol,
        "channel": await protocol.channel(),
        "confirming": await protocol.channel(),
        "closed": await protocol.channel(),
        "seen": Recorder("none", {}),
        **{letter: f"{namespace}.{letter}" for letter in "EFQ"},
    }
    description: Description = {
        "attributes of AmqpProtocol()": fresh,
        "attributes of AmqpProtocol(client_properties={'a': 1}, channel_max=2, heartbeat=3)": chosen,
        "attributes of a protocol that is open": attributes(protocol),
        "attributes of a channel": attributes(names["channel"]),
    }
    await names["closed"].close()
    outcomes = {"aioamqp.from_url(URL)": f"awaited: {shape(connected)}"}
    for call in lines(CALLS):
        assert call not in outcomes, call
        outcomes[call] = await outcome(call, names)
    description["attributes of a protocol that is closed"] = attributes(protocol)
    description["attributes of a channel that is closed"] = attributes(names["closed"])
    return {**description, "outcomes": outcomes, "callbacks": await callbacks_of(url, namespace)}


class Recorder:
    """A callback that keeps the types of its arguments."""

    def __init__(self, name: str, seen: dict[str, str]) -> None:
        self._name = name
        self._seen = seen
        self.called = asyncio.Event()

    async def __call__(self, *args: Any, **kwargs: Any) -> None:
        assert not kwargs
        self._seen[self._name] = f"({', '.join(map(shape, args))})"
        self.called.set()


async def callbacks_of(url: str, namespace: str) -> dict[str, str]:
    """Describe the arguments of each kind of callback."""
    import aioamqp

    seen: dict[str, str] = {}
    queue = f"{namespace}.callbacks"
    returned, cancelled, consumed = (
        Recorder(name, seen) for name in ("return_callback", "cancellation callback", "consumer")
    )
    _, protocol = await aioamqp.from_url(url)
    channel = await protocol.channel(return_callback=returned)
    channel.add_cancellation_callback(cancelled)
    await channel.queue_declare(queue, exclusive=True)
    await channel.basic_publish(b"body", "", f"{queue}.none", mandatory=True)
    await channel.basic_publish(b"body", "", queue)
    await channel.basic_consume(consumed, queue)
    await asyncio.wait_for(returned.called.wait(), 5)
    await asyncio.wait_for(consumed.called.wait(), 5)
    await channel.queue_delete(queue)
    await asyncio.wait_for(cancelled.called.wait(), 5)
    await protocol.close()
    return seen


async def outcome(call: str, names: dict[str, Any]) -> str:
    """Make a call; describe whether it is awaited, and what it returns or raises."""
    how = ""
    try:
        result = eval(call, names)
        if inspect.isawaitable(result):
            how = "awaited: "
            result = await asyncio.wait_for(result, 5)
        return how + shape(result)
    except Exception as error:  # noqa: BLE001 - whatever it raises is described
        code = getattr(error, "code", None)
        classes = ", ".join(cls.__name__ for cls in type(error).__mro__[:-3])
        return f"{how}raises {classes}" + ("" if code is None else f" with code {code!r}")


def shape(value: Any) -> str:
    """Describe a value by its type; show None and booleans themselves."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, asyncio.Transport):
        return "asyncio.Transport"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {shape(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, tuple):
        return f"({', '.join(map(shape, value))})"
    module = "" if type(value).__module__ == "builtins" else f"{type(value).__module__}."
    return f"{module}{type(value).__qualname__}"


def attributes(instance: Any) -> dict[str, str]:
    """Describe the public attributes of an object."""
    names = [
        n for n in public(instance) if not callable(inspect.getattr_static(type(instance), n, None))
    ]
    return {name: content(name, getattr(instance, name)) for name in names}


def content(name: str, value: Any) -> str:
    if isinstance(value, asyncio.Event):
        return "an asyncio.Event that is " + ("set" if value.is_set() else "not set")
    if asyncio.isfuture(value):
        return "a future that is " + ("done" if value.done() else "not done")
    if name in ("server_properties", "server_mechanisms", "server_locales") and value is not None:
        return next(cls.__name__ for cls in (str, dict, type(value)) if isinstance(value, cls))
    return repr(value) if is_plain(value) else shape(value)


def is_plain(value: Any) -> bool:
    """Return whether a value consists only of numbers, strings and containers."""
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, (list, set, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, str, bytes))


if __name__ == "__main__":
    json.dump(asyncio.run(describe(sys.argv[1], "surface")), sys.stdout, indent=1)
