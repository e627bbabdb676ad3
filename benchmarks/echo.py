"""The yardstick: a bare trio-websocket server that sends every text back, and a client for it.

Nothing is encrypted, checked, kept or understood here. Started as a script it is the server:
``python benchmarks/echo.py PORT``. Both sides have the library's settings tuned (queue and buffer), or its
defaults with ``--plain``.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator

import trio
import trio_websocket
from harness import child, free_port

SIZE = 2500
TUNED = {"message_queue_size": 64, "receive_buffer_size": 65536}


async def serve(port: int, settings: dict[str, int]) -> None:
    async def answer(request: trio_websocket.WebSocketRequest) -> None:
        connection = await request.accept()
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            while True:
                await connection.send_message(await connection.get_message())

    async with trio.open_nursery() as nursery:
        await nursery.start(
            lambda task_status: trio_websocket.serve_websocket(
                answer, "127.0.0.1", port, None, task_status=task_status, **settings
            )
        )
        print("up", flush=True)


@contextlib.asynccontextmanager
async def open_echo(
    *, tuned: bool = True, pids: list[int] | None = None
) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Run the server in a process of its own, noted in ``pids``, and connect with it."""
    port = free_port()
    settings = TUNED if tuned else {}
    async with (
        child("echo.py", str(port), *([] if tuned else ["--plain"])) as process,
        trio_websocket.open_websocket_url(f"ws://127.0.0.1:{port}", **settings) as connection,
    ):
        if pids is not None:
            pids.append(process.pid)
        yield connection


async def burst(
    connection: trio_websocket.WebSocketConnection, in_flight: int, seconds: float, *, size: int = SIZE
) -> tuple[float, list[float]]:
    """Keep so many texts under way for so long; give echoes per second and the seconds that each took."""
    text = "a" * size
    taken: list[float] = []
    sent: list[float] = []
    end = time.perf_counter() + seconds
    begun = time.perf_counter()
    async with trio.open_nursery() as nursery:
        free = trio.Semaphore(in_flight)

        async def send() -> None:
            while time.perf_counter() < end:
                await free.acquire()
                sent.append(time.perf_counter())
                await connection.send_message(text)

        if in_flight == 1:
            while time.perf_counter() < end:
                start = time.perf_counter()
                await connection.send_message(text)
                await connection.get_message()
                taken.append(time.perf_counter() - start)
            return len(taken) / (time.perf_counter() - begun), taken
        nursery.start_soon(send)
        while True:
            with trio.move_on_after(0.2) as late:
                await connection.get_message()
            if late.cancelled_caught:
                break
            taken.append(time.perf_counter() - sent[len(taken)])
            finished = time.perf_counter()
            free.release()
    return len(taken) / (finished - begun), taken


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(serve, int(sys.argv[1]), {} if "--plain" in sys.argv else TUNED)
