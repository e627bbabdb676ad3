"""The errand as an actor of Dramatiq, for `peers`."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

URL = os.environ["TEMPLEMEADS_BENCHMARK_REDIS"]
broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def errand(command: dict[str, object]) -> dict[str, object]:
    return command | {"state": "Complete", "result": "account created"}
