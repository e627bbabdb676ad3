"""Agents for the benchmarks: rows of them over loopback, each in a process of its own.

Started as a script it is one such agent: ``python benchmarks/agents.py CONFIGURATION``.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from itertools import count, pairwise
from pathlib import Path

import trio
from harness import child, free_port

from paddington import ServiceConfig
from templemeads import Agent, AgentConfig, AgentType, Envelope, Job, open_agent
from templemeads.limits import Limits

LIMITS = Limits(board_jobs=2_000_000, handlers=200, handlers_per_peer=200, finished_seconds=5)
LIFETIME = 20
"""Seconds: short, so that in a run of minutes finished jobs leave the boards as fast as they come."""

_numbers = count()


async def answer(envelope: Envelope) -> Job:
    """The handler: no work at all."""
    return envelope.job.completed("account created")


def write_row(
    directory: Path, names: Sequence[str], *, sqlite: bool = False, dense: bool = True
) -> list[Path]:
    """Write configurations of agents in a row, each of which has invited the next one."""
    configs: list[AgentConfig] = []
    for index, name in enumerate(names):
        kind = (
            AgentType.PORTAL
            if not index
            else AgentType.INSTANCE
            if index + 1 == len(names)
            else AgentType.PROVIDER
        )
        service = ServiceConfig.create(name, port=free_port(), dense_framing=dense)
        store = f"sqlite:///{directory / name}.db" if sqlite else None
        configs.append(AgentConfig(service, kind, store=store, limits=LIMITS))
    for config, after in pairwise(configs):
        after.service.add_server(config.service.add_client(after.name, "127.0.0.1"))
    paths = [directory / f"{config.name}.toml" for config in configs]
    for config, path in zip(configs, paths, strict=True):
        config.save(path)
    return paths


@contextlib.asynccontextmanager
async def open_row(paths: Sequence[Path], pids: list[int] | None = None) -> AsyncIterator[Agent]:
    """Run the first agent here and the others in processes of their own, noted in ``pids``; all are connected."""
    async with contextlib.AsyncExitStack() as stack:
        agent = await stack.enter_async_context(open_agent(AgentConfig.load(paths[0])))
        for path in paths[1:]:
            process = await stack.enter_async_context(child("agents.py", path))
            if pids is not None:
                pids.append(process.pid)
        with trio.fail_after(30):
            await agent.wait_for(paths[1].stem)
            # The far end answers only when the whole row is connected.
            while True:
                job = await agent.submit(command(paths), lifetime=10)
                if (await job.wait()).result() is not None:
                    break
        yield agent


def command(paths: Sequence[Path]) -> str:
    """Give a command that no earlier one equals: equal ones would wait for one result."""
    return f"{'.'.join(path.stem for path in paths)} add_user u{next(_numbers)}.proj.{paths[0].stem}"


async def burst(
    agent: Agent, paths: Sequence[Path], in_flight: int, seconds: float
) -> tuple[float, list[float]]:
    """Keep so many jobs under way for so long; give jobs per second and the seconds that each took."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def ask() -> None:
        while (begun := time.perf_counter()) < end:
            job = await agent.submit(command(paths), lifetime=LIFETIME)
            (await job.wait()).result()
            taken.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(in_flight):
            nursery.start_soon(ask)
    return len(taken) / (time.perf_counter() - begun), taken


async def main(path: str) -> None:
    async with open_agent(AgentConfig.load(path), answer):
        print("up", flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
