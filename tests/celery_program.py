"""A Celery program: run as a script, it calls its tasks and prints their results as JSON.

A Celery worker with the same module runs the tasks. The environment variables CELERY_URL and
CELERY_QUEUE name the broker and the queue, and CELERY_QUEUE_TYPE its type. With quorum queues, the
broker delays tasks, and retries them at their time.
"""

import json
import os
import sys
from typing import Any

from celery import Celery

app = Celery("celery_program", broker=os.environ["CELERY_URL"], backend="rpc://")
app.conf.update(
    task_default_queue=os.environ["CELERY_QUEUE"],
    task_default_queue_type=os.environ["CELERY_QUEUE_TYPE"],
    task_default_exchange_type="topic",  # delayed delivery does not support direct exchanges
    task_acks_late=True,
    broker_connection_retry_on_startup=False,
)


@app.task  # type: ignore[untyped-decorator]
def add(one: int, two: int) -> int:
    return one + two


@app.task  # type: ignore[untyped-decorator]
def fail(text: str) -> None:
    raise ValueError(text)


@app.task(bind=True, max_retries=1)  # type: ignore[untyped-decorator]
def try_again(self: Any) -> int:
    """Retry once."""
    if not self.request.retries:
        raise self.retry(countdown=1)
    return int(self.request.retries)


def main() -> int:
    results = [add.delay(2, 3), fail.delay("no"), try_again.delay(), add.delay(4, 5)]
    outcomes = [str(result.get(timeout=30, propagate=False)) for result in results]
    # The ping goes to the workers through a fanout exchange; replies use a direct exchange.
    pongs = app.control.ping(timeout=10, limit=1)
    report = {"outcomes": outcomes, "pongs": [list(pong.values()) for pong in pongs]}
    sys.stdout.write(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
