"""Agents for the benchmarks: rows of them over loopback, each in a process of its own.

As `agents.py CONFIGURATION` it is one agent that answers; as `agents.py --ask CONFIGURATION...` it is the
contestant that gives jobs to the last agent of a row: the first agent of it, which starts the others.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count, pairwise
from pathlib import Path

import trio
from contest import Contestant, Log, keep_asking_trio, serve_trio
from workers import free_port, running

from paddington import ServiceConfig
from templemeads import Agent, AgentConfig, AgentType, Envelope, Handler, Job, JobError, run_agent
from templemeads.limits import Limits
from templemeads.stores.store import OpenStore

LIMITS = Limits(board_jobs=2_000_000, handlers=200, handlers_per_peer=200, finished_seconds=5)
LIFETIME = 20
"""Seconds: short, so that in a run of minutes finished jobs leave the boards as fast as they come."""

START_SECONDS = 30
NAMES = ("portal", "provider", "platform", "cluster")


async def answer(envelope: Envelope) -> Job:
    """The handler: no work at all."""
    return envelope.job.completed("account created")


@contextlib.asynccontextmanager
async def open_as_run(
    config: AgentConfig, handler: Handler = answer, *, store: OpenStore | None = None
) -> AsyncIterator[Agent]:
    """Run an agent as a process of its own does; every agent of the benchmarks that has one goes through here.

    `run_agent` sets up its process as it is in production, which a bare `open_agent` does not.
    """
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[Agent]) -> None:
            await run_agent(config, handler, store=store, task_status=task_status)
            nursery.cancel_scope.cancel(reason="a signal has stopped the agent")

        yield await nursery.start(run)
        nursery.cancel_scope.cancel(reason="the benchmark is done")


# -- rows -----------------------------------------------------------------------------------------------------


def row(directory: Path, length: int = 2, *, sqlite: bool = False, dense: bool = True) -> Contestant:
    """Make a contestant of so many agents in a row, with their files in a new directory."""
    directory.mkdir()
    paths = write_row(directory, [*NAMES[: length - 1], NAMES[-1]], sqlite=sqlite, dense=dense)
    return Contestant("agents.py", ("--ask", *paths))


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


@contextlib.contextmanager
def answering(path: Path) -> Iterator[int]:
    """Run an agent that answers in a process of its own; give its process id."""
    with running(sys.executable, __file__, path, wait="up") as process:
        yield process.pid


@contextlib.asynccontextmanager
async def open_each(paths: Sequence[Path]) -> AsyncIterator[list[int]]:
    """Run agents that answer, one after another, while whatever is in this process goes on; give their ids."""
    with contextlib.ExitStack() as stack:
        try:
            yield [await trio.to_thread.run_sync(stack.enter_context, answering(path)) for path in paths]
        finally:
            # They take leave of whoever they are connected with, who may be here.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(stack.close)


# -- asking ---------------------------------------------------------------------------------------------------


class Asker:
    """Gives jobs to the last agent of a row, each with a command that no earlier one equals.

    Equal commands would wait for one result.
    """

    def __init__(self, agent: Agent, names: Sequence[str]) -> None:
        self._agent = agent
        self._path = ".".join(names)
        self._numbers = count()

    async def ask(self, lifetime: float = LIFETIME) -> object:
        """Put a job and wait for its result."""
        command = f"{self._path} add_user u{next(self._numbers)}.proj.{self._agent.name}"
        job = await self._agent.submit(command, lifetime=lifetime)
        return (await job.wait()).result()

    async def wait_until_answered(self) -> None:
        """Wait until the whole row is connected: only then does its far end answer."""
        with trio.fail_after(START_SECONDS):
            while True:
                with contextlib.suppress(JobError):
                    if await self.ask(lifetime=2) is not None:
                        return

    async def run(self, log: Log, in_flight: int) -> None:
        """Keep so many jobs under way while the log goes on."""
        await keep_asking_trio(log, in_flight, self.ask)

    async def burst(self, in_flight: int, seconds: float) -> Log:
        """Keep so many jobs under way for so long."""
        with Log(seconds) as log:
            await self.run(log, in_flight)
        return log


async def ask_along(paths: Sequence[Path]) -> None:
    """Be the first agent of a row, and take orders."""
    # Each dials the one before it, which is up by then.
    async with open_as_run(AgentConfig.load(paths[0])) as agent, open_each(paths[1:]):
        with trio.fail_after(START_SECONDS):
            await agent.wait_for(paths[1].stem)
        asker = Asker(agent, [path.stem for path in paths])
        await asker.wait_until_answered()
        await serve_trio(asker.run)


async def answer_for_ever(path: Path) -> None:
    async with open_as_run(AgentConfig.load(path)):
        print("up", flush=True)
        await trio.sleep_forever()


def main(options: argparse.Namespace) -> None:
    if not options.ask:
        trio.run(answer_for_ever, *options.paths)
        return
    trio.run(ask_along, options.paths)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ask", action="store_true", help="be the first of a row")
    parser.add_argument("paths", nargs="+", type=Path)
    main(parser.parse_args())
