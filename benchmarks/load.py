"""Many agents on one portal, and an hour of traffic on a clock that jumps: nothing is lost, and nothing grows.

All agents live in this process, over lines in memory, with real handshakes, keys and frames. In each of the sixty minutes
every agent gets its share of jobs; each is answered, stays on the boards for ten minutes, and leaves them. Wanted:
every job answered, no job left at the end, and a process at the end of the hour that is at most a tenth larger than after a
quarter of it.

`python benchmarks/load.py --agents 1000 --jobs 100000` is the whole exercise.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import time
from functools import partial

import trio
import trio.testing
from harness import Report, arguments, finish
from workers import resident_kib

from paddington import Limits as ServiceLimits
from paddington import ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads import Agent, AgentConfig, AgentType, Envelope, Job, open_agent

MINUTES = 60
LIFETIME = 600
"""Seconds that a job may take; a finished one stays on the boards for so long, and 2 minutes."""

EPOCH = 1_800_000_000.0


def calendar() -> float:
    return EPOCH + trio.current_time()


async def answer(envelope: Envelope) -> Job:
    return envelope.job.completed("account created")


def make_configs(number: int) -> list[AgentConfig]:
    limits = ServiceLimits(unauthenticated_per_address=number + 64)
    portal = ServiceConfig.create("portal", port=6501, limits=limits)
    configs = [AgentConfig(portal, AgentType.PORTAL)]
    for index in range(number):
        # A range of its own for each: a portal tries the keys of all that may call from an address.
        service = ServiceConfig.create(f"c{index}")
        service.add_server(portal.add_client(service.name, address_of(index), type="instance"))
        configs.append(AgentConfig(service, AgentType.INSTANCE))
    return configs


def address_of(index: int) -> str:
    return f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"


async def minute(portal: Agent, names: list[str], jobs: int, done: list[str], lost: list[str]) -> None:
    """Return jobs to the agents in turn, and wait for all."""

    async def ask(number: int) -> None:
        name = names[number % len(names)]
        text = f"portal.{name} add_user u{len(done)}-{number}.proj.portal"
        job = await (await portal.submit(text, lifetime=LIFETIME)).wait()
        (done if job.result() == "account created" else lost).append(name)

    async with trio.open_nursery() as nursery:
        for number in range(jobs):
            nursery.start_soon(ask, number)


async def main(options: argparse.Namespace) -> Report:
    report = Report(f"{options.agents} agents on one portal, {options.jobs} jobs in an hour")
    network = MemoryNetwork()
    configs = make_configs(options.agents)
    memory: list[float] = []
    held: list[float] = []
    done: list[str] = []
    lost: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        begun = time.perf_counter()
        agents = []
        for index, config in enumerate(configs):
            view = network if not index else network.at(address_of(index - 1))
            transport = partial(open_service, network=view, unix_time=calendar)
            agents.append(
                await stack.enter_async_context(
                    open_agent(config, answer, transport=transport, clock=calendar)
                )
            )
        portal, names = agents[0], [config.name for config in configs[1:]]
        for name in names:
            await portal.wait_for(name)
        report.add("time until all are connected", [time.perf_counter() - begun], "s")
        begun = time.perf_counter()
        for _ in range(MINUTES):
            start = trio.current_time()
            await minute(portal, names, options.jobs // MINUTES, done, lost)
            held.append(portal.statistics().jobs)
            gc.collect()
            memory.append(resident_kib() / 1024)
            await trio.sleep_until(start + 60)
        report.add("time for the hour", [time.perf_counter() - begun], "s")
        report.add("jobs answered", [len(done)], "", at_least=options.jobs // MINUTES * MINUTES)
        report.add("jobs lost", [len(lost)], "", at_most=0)
        report.add("jobs on the portal's boards at most", [max(held)], "")
        report.add("memory after a quarter", [memory[MINUTES // 4]], "MiB")
        report.add("memory at the end", [memory[-1]], "MiB")
        report.add("end / quarter", [memory[-1] / memory[MINUTES // 4]], "x", at_most=1.1)
        await trio.sleep(LIFETIME + 400)
        report.add(
            "jobs on all boards ten minutes later",
            [sum(each.statistics().jobs for each in agents)],
            "",
            at_most=0,
        )
    return report


if __name__ == "__main__":
    parser = arguments(__doc__, agents=5, jobs=300)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=6_000)
    chosen = parser.parse_args()
    finish(trio.run(main, chosen, clock=trio.testing.MockClock(autojump_threshold=0)), chosen)
