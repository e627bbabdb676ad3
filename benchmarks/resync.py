"""How long two agents take to tell each other a whole board when they find each other again.

A board of finished and pending jobs lies in the store of each; both agents start, connect and synchronise.
Measured is the time from the connection to the last job, for equal boards (both had seen everything) and for
an agent that has lost its board. Both agents run in one process, over real sockets on loopback.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import agents
import attrs
import trio
from harness import Report, arguments, finish, scratch

from paddington import Peer
from templemeads import AgentConfig, open_agent
from templemeads.job import Job
from templemeads.outcome import Write
from templemeads.store import BoardStore, MemoryStore


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


def board(size: int) -> list[Job]:
    now = time.time()
    return [
        Job.parse(f"portal.cluster add_user u{number}.proj.portal", now=now, lifetime=3000)
        .pending(now=now)
        .completed("account created", now=now)
        for number in range(size)
    ]


async def resync(jobs: Sequence[Job], *, lost: bool) -> float:
    """Give the seconds until the first agent has heard everything, and the second too."""
    with scratch() as directory:
        first, second = (
            AgentConfig.load(path) for path in agents.write_row(directory, ["portal", "cluster"])
        )
        limits = attrs.evolve(agents.LIMITS, board_jobs=10_000_000)
        first.limits = second.limits = limits
        here = [Write(Peer("cluster"), job) for job in jobs]
        there = [] if lost else [Write(Peer("portal"), job) for job in jobs]
        async with (
            open_agent(first, store=partial(filled, kept=here)) as asker,
            open_agent(second, agents.answer, store=partial(filled, kept=there)) as runner,
        ):
            begun = time.perf_counter()
            with trio.fail_after(300):
                await asker.wait_for("cluster")
                # What is put now comes behind the Sync, and its answer behind the other's.
                job = await asker.submit("portal.cluster add_user last.proj.portal")
                await job.wait()
            seconds = time.perf_counter() - begun
            held = runner.statistics().jobs
            expected = len(jobs) + 1
            if not lost and held != expected:
                raise AssertionError(f"{held} jobs instead of {expected}")
            return seconds


async def main(options: argparse.Namespace) -> Report:
    report = Report(f"Two agents that find each other again, with {options.jobs:,} jobs on the board")
    jobs = board(options.jobs)
    equal, lost = [], []
    for _ in range(options.rounds):
        equal.append(await resync(jobs, lost=False))
        lost.append(await resync(jobs, lost=True))
    report.add("both have the board", equal, "s")
    report.add("one has lost it", lost, "s")
    report.add("both have it, by job and side", [s / options.jobs / 2 * 1e6 for s in equal], "us")
    return report


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.set_defaults(rounds=1)
    chosen = parser.parse_args()
    finish(trio.run(main, chosen), chosen)
