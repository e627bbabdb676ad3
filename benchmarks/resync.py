"""How long two agents take to tell each other a whole board when they find each other again.

Two agents in two processes, over a socket on loopback; a board of finished jobs lies in the store of each. Measured
is the time from when both are up to the answer to a job that was put behind both boards: for equal boards (both had
seen everything) and for an agent that has lost its board.
"""

from __future__ import annotations

import argparse
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import agents
import attrs
import trio
from harness import Report, arguments, finish
from workers import Worker, next_order, open_worker, reply, scratch

from paddington import Peer
from templemeads import AgentConfig
from templemeads.jobs.job import Job
from templemeads.jobs.outcome import Write
from templemeads.stores.memory import MemoryStore
from templemeads.stores.store import BoardStore

LIFETIME = 3000
PATIENCE = 300
OTHERS = {"portal": Peer("cluster"), "cluster": Peer("portal")}


class Filled(MemoryStore):
    """A store in memory that had a life before this one."""

    def __init__(self, kept: Sequence[Write]) -> None:
        super().__init__()
        self._kept = kept

    async def load(self) -> Sequence[Write]:
        return self._kept


@asynccontextmanager
async def filled(agent: str, *, kept: Sequence[Write]) -> AsyncIterator[BoardStore]:  # noqa: ARG001 - as stores have it
    yield Filled(kept)


def board(size: int, now: float) -> list[Job]:
    """Make finished jobs, the same in every process that is told the same time."""
    return [
        attrs.evolve(
            Job.parse(f"portal.cluster add_user u{number}.proj.portal", now=now, lifetime=LIFETIME)
            .pending(now=now)
            .completed("account created", now=now),
            id=uuid.UUID(int=number, version=4),
        )
        for number in range(size)
    ]


# -- one of the two agents --------------------------------------------------------------------------------------


async def work(path: Path, size: int, now: float) -> None:
    """Be an agent that starts and stops when it is told to, with a full board or an empty one."""
    config = AgentConfig.load(path)
    config.limits = attrs.evolve(agents.LIMITS, board_jobs=10_000_000)
    full = [Write(OTHERS[config.name], job) for job in board(size, now)]
    reply()
    while (order := await trio.to_thread.run_sync(next_order)) is not None:
        store = partial(filled, kept=[] if order["lost"] else full)
        async with agents.open_as_run(config, store=store) as agent:
            up = time.monotonic()
            reply(up=up)
            while (order := await trio.to_thread.run_sync(next_order)) is not None:
                match order["order"]:
                    case "meet":
                        with trio.fail_after(PATIENCE):
                            await agent.wait_for(OTHERS[config.name].name)
                            # What is put now comes behind the Sync, and its answer behind the other's.
                            job = await agent.submit("portal.cluster add_user last.proj.portal")
                            await job.wait()
                        reply(at=time.monotonic())
                    case "count":
                        reply(jobs=agent.statistics().jobs)
                    case "stop":
                        break
                    case other:
                        raise ValueError(other)
        reply()


# -- the measurement --------------------------------------------------------------------------------------------


def resync(portal: Worker, cluster: Worker, *, size: int, lost: bool) -> tuple[float, float]:
    """Return the seconds from both agents' start until all is told, and the processor seconds of both."""
    portal.ask("start", lost=False)
    up = cluster.ask("start", lost=lost)["up"]
    used = portal.processor_seconds() + cluster.processor_seconds()
    at = portal.ask("meet")["at"]
    used = portal.processor_seconds() + cluster.processor_seconds() - used
    held = portal.ask("count")["jobs"], cluster.ask("count")["jobs"]
    if held[0] != size + 1 or (not lost and held[1] != size + 1):
        raise AssertionError(f"{held} jobs are held, of {size + 1}")
    for worker in (cluster, portal):
        worker.ask("stop")
    return at - up, used  # monotonic clocks are one for all processes


def main(options: argparse.Namespace) -> Report:
    report = Report(f"Two agents that find each other again, with {options.jobs:,} jobs on the board")
    equal, lost = [], []
    with scratch() as directory, contextlib.ExitStack() as stack:
        now = str(int(time.time()))
        portal, cluster = (
            stack.enter_context(open_worker("resync.py", "--work", path, now, "--jobs", str(options.jobs)))
            for path in agents.write_row(directory, ["portal", "cluster"])
        )
        for _ in range(options.rounds):
            equal.append(resync(portal, cluster, size=options.jobs, lost=False))
            lost.append(resync(portal, cluster, size=options.jobs, lost=True))
    for name, taken in (("both have the board", equal), ("one has lost it", lost)):
        report.add(name, [seconds for seconds, _ in taken], "s")
        report.add(
            f"{name}: processor time for each job, both sides",
            [used / options.jobs * 1e6 for _, used in taken],
            "us",
        )
    return report


if __name__ == "__main__":
    parser = arguments(__doc__, jobs=1_000)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--work", nargs=2, metavar=("CONFIGURATION", "TIME"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        trio.run(work, Path(chosen.work[0]), chosen.jobs, float(chosen.work[1]))
    else:
        finish(main(chosen), chosen)
