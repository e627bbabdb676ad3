"""The errand as a task of Celery with results in Redis: a contestant, and the module that its worker loads."""

from __future__ import annotations

import sys

import celery
from contest import serve_window
from errand import COMMAND, RESULT
from redis_server import address, open_redis
from workers import running

WAIT_SECONDS = 20


def declare() -> celery.Celery:
    app = celery.Celery("errands", broker=address(), backend=address())
    app.conf.worker_prefetch_multiplier = 64

    @app.task(name="errand")
    def errand(command: dict[str, object]) -> dict[str, object]:
        return command | RESULT

    return app


def main() -> None:
    worker = [sys.executable, "-m", "celery", "-A", "errand_celery", "worker", *sys.argv[1:]]
    with open_redis(), running(*worker, wait="[queues]"):
        errand = declare().tasks["errand"]
        serve_window(lambda: errand.delay(COMMAND), lambda sent: sent.get(timeout=WAIT_SECONDS))


if __name__ == "__main__":
    main()
else:
    app = declare()
