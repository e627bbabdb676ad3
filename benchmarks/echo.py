"""The yardstick: a bare trio-websocket server that sends every text back, and a client for it.

Nothing is encrypted, checked, kept or understood here. Both sides have the library's defaults, or, with
`--tuned`, a longer queue and a larger buffer. As `echo.py --serve PORT` it is the server, otherwise a
contestant that starts its server.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from typing import Any

import trio
import trio_websocket
from contest import Log, serve_trio
from workers import free_port, running

SIZE = 2500
TUNED = {"message_queue_size": 64, "receive_buffer_size": 65536}


async def serve(port: int, settings: dict[str, Any]) -> None:
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


async def ask(port: int, settings: dict[str, Any]) -> None:
    text = "a" * SIZE
    async with trio_websocket.open_websocket_url(f"ws://127.0.0.1:{port}", **settings) as connection:

        async def run(log: Log, in_flight: int) -> None:
            if in_flight > 1:
                await keep_sending(log, in_flight)
                return
            while log.goes_on():
                begun = time.perf_counter()
                await connection.send_message(text)
                await connection.get_message()
                log.note(begun)

        async def keep_sending(log: Log, in_flight: int) -> None:
            # One task sends and one receives: less work than a task for each text, and they come back in order.
            sent: list[float] = []
            free = trio.Semaphore(in_flight)

            async def receive() -> None:
                while True:
                    await connection.get_message()
                    log.note(sent[len(log.taken)])
                    free.release()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                while log.goes_on():
                    await free.acquire()
                    sent.append(time.perf_counter())
                    await connection.send_message(text)
                for _ in range(in_flight):
                    await free.acquire()
                nursery.cancel_scope.cancel(reason="all are back")

        await serve_trio(run)


def main(options: argparse.Namespace) -> None:
    settings = TUNED if options.tuned else {}
    if options.serve is not None:
        with contextlib.suppress(KeyboardInterrupt):
            trio.run(serve, options.serve, settings)
        return
    port = free_port()
    command = [sys.executable, __file__, "--serve", str(port), *(["--tuned"] if options.tuned else [])]
    with running(*command, wait="up"):
        trio.run(ask, port, settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=int, metavar="PORT", help="be the server")
    parser.add_argument("--tuned", action="store_true")
    main(parser.parse_args())
