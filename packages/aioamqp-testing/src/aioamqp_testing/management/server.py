"""The server of the management API. It needs aiohttp, which the extra ``management`` installs."""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias, cast

from aiohttp import web

from ..model import User
from .api import ROUTES, Answer, Api, Refused, Request, Route

_CLOSING_SECONDS: Final = 1.0  # for requests that are being answered
_LOGIN: Final = {"WWW-Authenticate": 'Basic realm="RabbitMQ Management"'}

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """A server of HTTP for the routes of the API.

    Args:
        api: answers the requests.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        application = web.Application(middlewares=[self._refuse_unknown])
        for route in ROUTES:
            handler = partial(self._handle, route)
            application.router.add_route(route.method, f"/api/{route.path}", handler)
        self._runner = web.AppRunner(application, access_log=None)

    async def open(self) -> web.Server:
        """Return the factory of the protocols of connections."""
        await self._runner.setup()
        assert self._runner.server is not None
        return self._runner.server

    async def close(self) -> None:
        """Close all connections."""
        assert self._runner.server is not None
        await self._runner.server.shutdown(_CLOSING_SECONDS)

    async def _handle(self, route: Route, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return web.Response(status=401, headers=_LOGIN)
        try:
            user = self._log_in(authorization)
        except Refused as refused:
            return _response(refused.answer, _LOGIN)
        try:
            body = _parse(await request.text())
        except Refused as refused:
            return _response(refused.answer)
        names = {**route.names, **request.match_info}
        reason = request.headers.get("X-Reason", "")
        return _response(self._api.call(route, Request(user, names, body, reason)))

    def _log_in(self, authorization: str) -> User:
        scheme, _, encoded = authorization.partition(" ")
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            scheme = name = password = ""
        if scheme.lower() != "basic":
            raise Refused(401, "not_authorised", "aioamqp-testing needs basic authentication")
        return self._api.log_in(name, password)

    @web.middleware
    async def _refuse_unknown(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as error:
            return web.Response(status=405, headers={"Allow": error.headers["Allow"]})
        except web.HTTPNotFound:
            return _response(self._api.refuse(request.method, request.path))


def _parse(text: str) -> Mapping[str, object]:
    """Return the object in a body.

    Raises:
        Refused: 400, it contains something else.
    """
    try:
        body: Any = json.loads(text) if text.strip() else {}
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "bad_request", "not_json")
    return cast("dict[str, object]", body)


def _response(answer: Answer, headers: Mapping[str, str] | None = None) -> web.Response:
    sent = dict(headers or {})
    if answer.location:
        sent["Location"] = answer.location
    if answer.body is None:
        return web.Response(status=answer.status, headers=sent)
    return web.Response(
        body=json.dumps(answer.body).encode(),
        status=answer.status,
        headers=sent,
        content_type="application/json",
    )
