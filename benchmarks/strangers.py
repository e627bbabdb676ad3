"""An honest pair with and without strangers: a thousand hostile connections that are never finished, side by side.

The strangers call from many addresses of loopback, all of which the portal's client may call from, so that none is
dropped at the door. A third says nothing, a third stops within the upgrade, a third after it, with half a frame. As
fast as their time runs out they come again. Wanted: the pair keeps at least 80 % of its jobs per second.

Started as `strangers.py --attack PORT NUMBER` it is the strangers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import trio
from agents import LIMITS, Asker, open_as_run, open_each
from harness import Report, arguments, finish, quantile
from workers import free_port, resident_kib, running, scratch

from paddington import Service, ServiceConfig
from templemeads import AgentConfig, AgentType

PER_ADDRESS = 40
"""Connections from one address: below the portal's limit of 64."""

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
SALTS = b"".join(b"openportal-%b-salt: %b\r\n" % (each, b"5a" * 32) for each in (b"inner", b"outer"))
HALF_A_FRAME = bytes([0x81, 0xFE]) + (16_000).to_bytes(2, "big") + bytes(4) + b"a" * 100
OPENINGS = (b"", UPGRADE, UPGRADE + SALTS + b"\r\n" + HALF_A_FRAME)


async def attack(port: int, number: int) -> None:
    """Hold so many connections half open, until this process is ended."""
    held = 0
    begun = time.monotonic()

    async def stranger(index: int) -> None:
        nonlocal held
        address = f"127.1.{index // PER_ADDRESS // 250}.{index // PER_ADDRESS % 250 + 1}"
        while True:
            with contextlib.suppress(OSError, trio.BrokenResourceError), trio.socket.socket() as raw:
                await raw.bind((address, 0))
                await raw.connect(("127.0.0.1", port))
                stream = trio.SocketStream(raw)
                await stream.send_all(OPENINGS[index % 3])
                held += 1
                if held == number:
                    print(f"{held} in {time.monotonic() - begun:.1f} s", flush=True)
                while await stream.receive_some():
                    pass
            await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        for index in range(number):
            nursery.start_soon(stranger, index)


def write_pair(directory: Path) -> list[Path]:
    """Write configurations of a portal, whose client may call from all of loopback, and of that client."""
    portal = ServiceConfig.create("portal", port=free_port())
    cluster = ServiceConfig.create("cluster", port=free_port())
    cluster.add_server(portal.add_client("cluster", "127.0.0.0/8"))
    paths = []
    for service, kind in ((portal, AgentType.PORTAL), (cluster, AgentType.INSTANCE)):
        paths.append(directory / f"{service.name}.toml")
        AgentConfig(service, kind, limits=LIMITS).save(paths[-1])
    return paths


@dataclass(frozen=True)
class Sample:
    """One burst of the honest pair: jobs per second, seconds within which 99 of 100 were done, and what each cost."""

    rate: float
    p99: float
    processor: float


async def sample(asker: Asker, seconds: float) -> Sample:
    spent = time.process_time()
    log = await asker.burst(100, seconds)
    spent = time.process_time() - spent
    return Sample(log.sums()["rate"], quantile(log.taken, 0.99), spent / len(log.taken))


@contextlib.asynccontextmanager
async def strangers(port: int, number: int, inside: Callable[[], int]) -> AsyncIterator[None]:
    """Let them come, and go when the block ends."""
    command = (sys.executable, __file__, "--attack", str(port), str(number))
    async with contextlib.AsyncExitStack() as stack:
        # In a thread: they are held by the portal, which lives in this process.
        await trio.to_thread.run_sync(stack.enter_context, running(*command, wait=" in "))
        with trio.fail_after(60):
            while inside() < 0.9 * number:  # noqa: ASYNC110 - a figure wakes nobody
                await trio.sleep(0.1)
        yield


async def main(options: argparse.Namespace) -> Report:
    report = Report(f"An honest pair among {options.strangers} hostile half-open connections")
    alone: list[Sample] = []
    among: list[Sample] = []
    memory: list[float] = []
    with scratch() as directory:
        paths = write_pair(directory)
        config = AgentConfig.load(paths[0])
        async with open_as_run(config) as portal, open_each(paths[1:]):
            await portal.wait_for("cluster")
            asker = Asker(portal, [path.stem for path in paths])
            await asker.burst(100, options.seconds)  # warm

            def inside() -> int:
                service = portal._service  # noqa: SLF001 - only the service knows
                assert isinstance(service, Service)
                return service.statistics().unauthenticated

            for _ in range(options.rounds):
                alone.append(await sample(asker, options.seconds))
                before = resident_kib()
                async with strangers(config.service.port, options.strangers, inside):
                    among.append(await sample(asker, options.seconds))
                    report.note(f"{inside()} strangers were inside at the end of the round")
                    memory.append((resident_kib() - before) / 1024)
                await trio.sleep(1)
    for name, samples in (("alone", alone), ("among strangers", among)):
        report.add(f"{name}: 100 under way", [each.rate for each in samples], "/s")
        report.add(f"{name}: 100 under way, p99", [each.p99 * 1e3 for each in samples], "ms")
        report.add(f"{name}: the portal's processor time", [each.processor * 1e6 for each in samples], "us")
    report.ratio(
        "jobs, among strangers / alone",
        [each.rate for each in among],
        [each.rate for each in alone],
        at_least=0.8,
    )
    report.add("memory that strangers take", memory, "MiB")
    return report


if __name__ == "__main__":
    parser = arguments(__doc__, strangers=60)
    parser.add_argument("--strangers", type=int, default=1000)
    parser.add_argument("--attack", nargs=2, type=int, metavar=("PORT", "NUMBER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.attack:
        with contextlib.suppress(KeyboardInterrupt):
            trio.run(attack, *chosen.attack)
        sys.exit(os.EX_OK)
    finish(trio.run(main, chosen), chosen)
