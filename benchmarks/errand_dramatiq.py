"""The errand as an actor of Dramatiq with results in Redis: a contestant, and the module that its worker loads."""

from __future__ import annotations

import sys

import dramatiq
from contest import serve_window
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from errand import COMMAND, RESULT
from redis_server import address, open_redis
from workers import running

WAIT_MS = 20_000


def declare() -> dramatiq.Actor[[dict[str, object]], dict[str, object]]:
    broker = RedisBroker(url=address())
    broker.add_middleware(Results(backend=RedisBackend(url=address())))
    dramatiq.set_broker(broker)

    @dramatiq.actor(store_results=True)
    def errand(command: dict[str, object]) -> dict[str, object]:
        return command | RESULT

    return errand


def main() -> None:
    worker = [sys.executable, "-m", "dramatiq", "errand_dramatiq", *sys.argv[1:]]
    with open_redis(), running(*worker, wait="ready"):
        errand = declare()
        serve_window(lambda: errand.send(COMMAND), lambda sent: sent.get_result(block=True, timeout=WAIT_MS))


if __name__ == "__main__":
    main()
else:
    declare()
