"""A redis-server in memory for the queues, and how its address comes to both their sides."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from workers import free_port, running

ADDRESS = "TEMPLEMEADS_BENCHMARK_REDIS"


@contextlib.contextmanager
def open_redis() -> Iterator[str]:
    """Run a server without files; yield its address, which is also in the environment meanwhile."""
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with running(*command, wait="Ready to accept"):
        os.environ[ADDRESS] = f"redis://127.0.0.1:{port}"
        yield os.environ[ADDRESS]


def address() -> str:
    return os.environ[ADDRESS]
