"""What peers cost that are connected and say nothing: memory of the agent, and its processor time.

One agent in a process of its own; its peers are services in this process, each with a connection of its own. The
processor time is counted over a whole round of keep-alives, which every connection exchanges in that time.
"""

from __future__ import annotations

import argparse
import resource
import time

import agents
import trio
from harness import Report, arguments, finish
from workers import free_port, processor_seconds, resident_kib, scratch

from paddington import Connection, Limits, ServiceConfig, open_service
from templemeads import AgentConfig, AgentType
from templemeads.jobs.commands import Register, Sync, encode

MAX_CONCURRENT_HANDSHAKES = Limits().unauthenticated_per_address // 2
"""Handshakes under way: fewer than an agent allows to one address."""

FILES_BESIDE = 200
"""Open files of a process that are not its peers'."""


def allow_files(wanted: int) -> int:
    """Let this process and those that it starts open so many files, if the system permits; give how many it does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


class Crowd:
    """The peers: services that have registered and then only listen."""

    def __init__(self, agent: ServiceConfig, size: int) -> None:
        self.peers = []
        for number in range(size):
            peer = ServiceConfig.create(f"peer-{number}")
            peer.add_server(agent.add_client(peer.name, "127.0.0.1"))
            self.peers.append(peer)
        self._free = trio.Semaphore(MAX_CONCURRENT_HANDSHAKES)
        self._connected = trio.Semaphore(0)

    async def connect(self, nursery: trio.Nursery) -> None:
        """Connect all, and return when all are."""
        for peer in self.peers:
            await self._free.acquire()
            nursery.start_soon(self._run, peer)
        for _ in self.peers:
            await self._connected.acquire()

    async def _run(self, config: ServiceConfig) -> None:
        async with open_service(config, serve=self._serve):
            await trio.sleep_forever()

    async def _serve(self, connection: Connection) -> None:
        await connection.send(encode(Register(AgentType.INSTANCE, "benchmark", "1")))
        await connection.send(encode(Sync(())))
        await connection.receive()
        self._free.release()
        self._connected.release()
        async for _ in connection:
            pass


async def main(options: argparse.Namespace) -> Report:
    report = Report(f"{options.peers:,} idle peers of one agent")
    allowed = allow_files(options.peers + FILES_BESIDE) - FILES_BESIDE
    if allowed < options.peers:
        report.note(f"only {allowed} peers: the system allows no more open files")
    number = min(allowed, options.peers)
    agent = AgentConfig(ServiceConfig.create("portal", port=free_port()), AgentType.PORTAL)
    crowd = Crowd(agent.service, number)
    with scratch() as directory:
        agent.save(directory / "portal.toml")
        async with agents.open_each([directory / "portal.toml"]) as (pid,), trio.open_nursery() as nursery:
            before = resident_kib(pid)
            begun, used = time.perf_counter(), processor_seconds(pid)
            with trio.fail_after(120):
                await crowd.connect(nursery)
            report.add("time to connect one", [(time.perf_counter() - begun) / number * 1e3], "ms")
            report.add(
                "processor time to connect one, at the agent",
                [(processor_seconds(pid) - used) / number * 1e3],
                "ms",
            )
            await trio.sleep(1)
            grown = (resident_kib(pid) - before) / number
            report.add("memory of one, at the agent", [grown], "KiB", at_most=40)
            used = processor_seconds(pid)
            await trio.sleep(options.idle)
            share = (processor_seconds(pid) - used) / options.idle
            report.add("processor, all idle", [share * 100], "%")
            report.add("processor time of one in an hour", [share * 3600 / number], "s")
            nursery.cancel_scope.cancel(reason="measured")
    if options.idle < Limits().keepalive_seconds:
        report.note("the idle time was shorter than a round of keep-alives")
    return report


if __name__ == "__main__":
    parser = arguments(__doc__, peers=20, idle=1.0)
    parser.add_argument("--peers", type=int, default=1_000)
    parser.add_argument("--idle", type=float, default=Limits().keepalive_seconds, help="seconds of idleness")
    chosen = parser.parse_args()
    finish(trio.run(main, chosen), chosen)
