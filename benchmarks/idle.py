"""What peers cost that are connected and say nothing: memory of the agent, and its processor time.

One agent in a process of its own; its peers are services in this process, each with a connection of its own.
"""

from __future__ import annotations

import argparse
import time

import trio
from harness import Report, arguments, child, finish, free_port, processor_seconds, resident_kib, scratch

from paddington import Connection, ServiceConfig, open_service
from templemeads import AgentConfig, AgentType
from templemeads.commands import Register, Sync, encode

AT_ONCE = 32
"""Handshakes under way: fewer than an agent allows to one address."""


async def main(options: argparse.Namespace) -> Report:
    report = Report(f"{options.peers:,} idle peers of one agent")
    peers: list[ServiceConfig] = []
    agent = AgentConfig(ServiceConfig.create("portal", port=free_port()), AgentType.PORTAL)
    for number in range(options.peers):
        peer = ServiceConfig.create(f"peer-{number}")
        peer.add_server(agent.service.add_client(peer.name, "127.0.0.1"))
        peers.append(peer)
    free = trio.Semaphore(AT_ONCE)
    connected = trio.Semaphore(0)

    async def serve(connection: Connection) -> None:
        await connection.send(encode(Register(AgentType.INSTANCE, "benchmark", "1")))
        await connection.send(encode(Sync(())))
        await connection.receive()
        free.release()
        connected.release()
        async for _ in connection:
            pass

    async def run(config: ServiceConfig) -> None:
        async with open_service(config, serve=serve):
            await trio.sleep_forever()

    with scratch() as directory:
        agent.save(directory / "portal.toml")
        async with child("agents.py", directory / "portal.toml") as process, trio.open_nursery() as nursery:
            before = resident_kib(process.pid)
            begun = time.perf_counter()
            for peer in peers:
                await free.acquire()
                nursery.start_soon(run, peer)
            with trio.fail_after(60):
                for _ in peers:
                    await connected.acquire()
            report.add("time to connect one", [(time.perf_counter() - begun) / len(peers) * 1e3], "ms")
            await trio.sleep(1)
            after = resident_kib(process.pid)
            report.add("memory of one at the agent", [(after - before) / len(peers)], "KiB", at_most=40)
            busy = processor_seconds(process.pid)
            await trio.sleep(options.seconds * 5)
            used = (processor_seconds(process.pid) - busy) / (options.seconds * 5)
            report.add("processor, all idle", [used * 100], "%")
            nursery.cancel_scope.cancel(reason="measured")
    return report


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--peers", type=int, default=500)
    chosen = parser.parse_args()
    finish(trio.run(main, chosen), chosen)
