"""Publish what a web service is asked for, with FastAPI: one connection, its health, one publisher.

    pip install aioamqp fastapi uvicorn
    python web.py --port 8000
    curl -X POST localhost:8000/orders -H 'content-type: application/json' -d '{"fruit": "pear"}'

The service starts without its broker, and waits for it; /health says whether it is there.
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response

from _cli import arguments
from aioamqp import AioamqpException, AmqpClosedConnection, Connection, Publisher


def create_app(url: str) -> FastAPI:
    connection = Connection(url, wait_timeout=None)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        connecting = asyncio.create_task(connect(app))
        try:
            yield
        finally:
            connecting.cancel()
            await connection.close()

    app = FastAPI(lifespan=lifespan)
    app.state.connection = connection
    app.state.publisher = None

    @app.post("/orders", status_code=202)
    async def post_order(
        order: dict[str, Any], publisher: Annotated[Publisher, Depends(get_publisher)]
    ) -> dict[str, str]:
        try:
            await publisher.publish(json.dumps(order).encode(), timeout=10)
        except (AioamqpException, TimeoutError) as error:
            raise HTTPException(503, f"The order is not confirmed: {error}") from error
        return {"status": "confirmed"}

    @app.get("/health")
    async def health(response: Response) -> dict[str, Any]:
        health = connection.health
        response.status_code = 200 if health.is_healthy else 503
        return health._asdict()

    return app


async def connect(app: FastAPI) -> None:
    """Open the connection, however long it takes, and declare the queue."""
    connection: Connection = app.state.connection
    try:
        await connection.open()
    except AmqpClosedConnection as error:  # such as a wrong password
        logging.getLogger("web").error("There will be no connection: %s", error)
        return
    channel = await connection.channel()
    await channel.queue_declare("orders", durable=True)
    app.state.publisher = channel.publisher(
        "", routing_key="orders", properties={"delivery_mode": 2}, mandatory=True,
        resend="unconfirmed",
    )  # fmt: skip


async def get_publisher(request: Request) -> Publisher:
    publisher: Publisher | None = request.app.state.publisher
    if publisher is None:
        raise HTTPException(503, request.app.state.connection.health.reason)
    return publisher


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    try:
        app = create_app(options.url)
    except ValueError as error:  # the URL is wrong
        sys.exit(str(error))
    # Health checks would fill the log.
    uvicorn.run(app, port=options.port, log_level="info", access_log=False)
