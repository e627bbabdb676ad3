"""The same errand by other means: what people would use instead, where it is installed, in turns with ours.

The errand: a small JSON object with a command goes to another process, which answers with a small JSON object;
100 are under way. None of the others keeps boards, checks a grammar, encrypts or survives a restart of either
side in this setting (Dramatiq and Celery keep what waits in Redis); ours does all of it, with boards in memory.
Wanted: nats-py and ``nats-server``; grpcio; dramatiq, celery and redis with ``redis-server``. What is missing is
left out with a note.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from harness import HERE, ROOT, Report, arguments, finish, free_port, scratch

IN_FLIGHT = 100
COMMAND = {
    "id": "0" * 36,
    "created": 1,
    "command": "portal.cluster add_user fred.proj.portal",
    "state": "Pending",
}
COMMAND |= {"result": None, "note": "x" * 150}
REDIS = "TEMPLEMEADS_BENCHMARK_REDIS"
NEEDS = {
    "echo": ((), ()),
    "templemeads": ((), ()),
    "templemeads, compatible": ((), ()),
    "nats-py": (("nats",), ("nats-server",)),
    "grpc aio": (("grpc",), ()),
    "dramatiq": (("dramatiq", "redis"), ("redis-server",)),
    "celery": (("celery", "redis"), ("redis-server",)),
}


def answered(data: bytes) -> bytes:
    """The errand's other end."""
    return json.dumps(json.loads(data) | {"state": "Complete", "result": "account created"}).encode()


# -- servers -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(*command: str, wait: str | None = None, **environment: str) -> Iterator[None]:
    """Run a command until the block ends; with ``wait``, it has printed this when the block begins."""
    env = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}", **environment}
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            while wait is not None and wait not in (line := process.stdout.readline()):
                if not line:
                    raise RuntimeError(f"{command[0]} has ended")
            yield
        finally:
            process.terminate()
            process.communicate(timeout=20)


def other_end(kind: str, port: int) -> contextlib.AbstractContextManager[None]:
    return running(sys.executable, str(HERE / "peers.py"), "--serve", kind, "--port", str(port), wait="up")


async def serve_nats(port: int) -> None:
    import nats

    client = await nats.connect(f"nats://127.0.0.1:{port}")

    async def reply(message: Any) -> None:
        await message.respond(answered(message.data))

    await client.subscribe("errand", cb=reply)
    await client.flush()
    print("up", flush=True)
    await asyncio.Event().wait()


async def serve_grpc(port: int) -> None:
    import grpc

    async def reply(request: bytes, _: object) -> bytes:
        return answered(request)

    server = grpc.aio.server()
    handlers = {"Run": grpc.unary_unary_rpc_method_handler(reply)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Errand", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("up", flush=True)
    await server.wait_for_termination()


# -- measurements: errands per second ------------------------------------------------------------------------


async def keep_asking(ask: Callable[[bytes], Awaitable[bytes]], seconds: float) -> float:
    done = 0

    async def one_after_another(end: float) -> None:
        nonlocal done
        while time.perf_counter() < end:
            json.loads(await ask(json.dumps(COMMAND).encode()))
            done += 1

    for length in (seconds / 2, seconds):  # the first warms up
        done, begun = 0, time.perf_counter()
        await asyncio.gather(*(one_after_another(begun + length) for _ in range(IN_FLIGHT)))
    return done / (time.perf_counter() - begun)


def measure_nats(seconds: float) -> float:
    import nats

    port = free_port()

    async def main() -> float:
        client = await nats.connect(f"nats://127.0.0.1:{port}")

        async def ask(data: bytes) -> bytes:
            reply: bytes = (await client.request("errand", data, timeout=10)).data
            return reply

        return await keep_asking(ask, seconds)

    with running("nats-server", "-a", "127.0.0.1", "-p", str(port), wait="ready"), other_end("nats", port):
        return asyncio.run(main())


def measure_grpc(seconds: float) -> float:
    import grpc

    port = free_port()

    async def main() -> float:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            return await keep_asking(channel.unary_unary("/Errand/Run"), seconds)

    with other_end("grpc", port):
        return asyncio.run(main())


@contextlib.contextmanager
def redis() -> Iterator[None]:
    port = free_port()
    os.environ[REDIS] = f"redis://127.0.0.1:{port}"
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with running(*command, wait="Ready to accept"):
        yield


def in_batches(send: Callable[[], Any], wait: Callable[[Any], Any], seconds: float) -> float:
    for length in (seconds / 2, seconds):
        done, begun = 0, time.perf_counter()
        while time.perf_counter() < begun + length:
            for sent in [send() for _ in range(IN_FLIGHT)]:
                wait(sent)
                done += 1
    return done / (time.perf_counter() - begun)


def measure_dramatiq(seconds: float) -> float:
    with (
        redis(),
        running(sys.executable, "-m", "dramatiq", "queue_dramatiq", "-p", "1", "-t", "8", wait="ready"),
    ):
        from queue_dramatiq import errand

        return in_batches(
            lambda: errand.send(COMMAND), lambda sent: sent.get_result(block=True, timeout=20_000), seconds
        )


def measure_celery(seconds: float) -> float:
    worker = [sys.executable, "-m", "celery", "-A", "queue_celery", "worker", "-P", "threads", "-c", "8"]
    with redis(), running(*worker, "--without-gossip", "--without-mingle", wait="[queues]"):
        from queue_celery import errand

        return in_batches(lambda: errand.delay(COMMAND), lambda sent: sent.get(timeout=20), seconds)


def measure_ours(seconds: float, *, dense: bool) -> float:
    import agents
    import trio

    async def main(directory: Path) -> float:
        paths = agents.write_row(directory, ["portal", "cluster"], dense=dense)
        async with agents.open_row(paths) as agent:
            await agents.burst(agent, paths, IN_FLIGHT, seconds / 2)
            return (await agents.burst(agent, paths, IN_FLIGHT, seconds))[0]

    with scratch() as directory:
        return trio.run(main, directory)


def measure_echo(seconds: float) -> float:
    import echo
    import trio

    async def main() -> float:
        async with echo.open_echo() as connection:
            await echo.burst(connection, IN_FLIGHT, seconds / 2)
            return (await echo.burst(connection, IN_FLIGHT, seconds))[0]

    return trio.run(main)


MEASURES: dict[str, Callable[[float], float]] = {
    "echo": measure_echo,
    "templemeads": partial(measure_ours, dense=True),
    "templemeads, compatible": partial(measure_ours, dense=False),
    "nats-py": measure_nats,
    "grpc aio": measure_grpc,
    "dramatiq": measure_dramatiq,
    "celery": measure_celery,
}
TARGETS = {"nats-py": 1, "grpc aio": 5, "dramatiq": 10, "celery": 30}


def missing(name: str) -> list[str]:
    modules, programs = NEEDS[name]
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    return absent + [program for program in programs if shutil.which(program) is None]


def main(options: argparse.Namespace) -> Report:
    report = Report(f"An errand to another process and back, {IN_FLIGHT} under way")
    names = []
    for name in MEASURES:
        if absent := missing(name):
            report.note(f"{name} is left out: {', '.join(absent)} not installed")
        else:
            names.append(name)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            # A process of its own for each: event loops and their settings do not mix.
            command = [sys.executable, __file__, "--measure", name, "--seconds", str(options.seconds)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            if ended.returncode:
                raise RuntimeError(f"{name}: {ended.stderr[-2000:]}")
            rates[name].append(float(ended.stdout.split()[-1]))
    for name in names:
        report.add(name, rates[name], "/s")
    for name, least in TARGETS.items():
        if name in rates:
            report.ratio(f"templemeads / {name}", rates["templemeads"], rates[name], at_least=least)
    return report


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=["nats", "grpc"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        asyncio.run({"nats": serve_nats, "grpc": serve_grpc}[chosen.serve](chosen.port))
    elif chosen.measure:
        print(MEASURES[chosen.measure](chosen.seconds))
    else:
        finish(main(chosen), chosen)
