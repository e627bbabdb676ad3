"""What a job costs on a board that grows, and the memory that a finished job takes there.

Within one process and without any line: the exchanges of an asker and of a runner, each with its board. The
boards are filled with finished and (one in ten) pending jobs; at each size the same number of further jobs goes
from submission to result, and the time of one is compared with that at empty boards.
"""

from __future__ import annotations

import argparse
import gc
import time

from harness import Report, arguments, finish, resident_kib

from paddington import Peer
from templemeads.commands import Put, Update
from templemeads.exchange import Exchange
from templemeads.job import Job
from templemeads.limits import Limits
from templemeads.outcome import Write

ASKER, RUNNER = Peer("portal"), Peer("cluster")
LIMITS = Limits(board_jobs=10_000_000)
SAMPLE = 2_000


class Pair:
    """The exchanges of two agents, and the jobs that are on their boards."""

    def __init__(self) -> None:
        self.asker = Exchange(ASKER.name, limits=LIMITS)
        self.runner = Exchange(RUNNER.name, limits=LIMITS)
        self.now = time.time()
        self.count = 0

    def job(self) -> Job:
        self.count += 1
        return Job.parse(f"portal.cluster add_user u{self.count}.proj.portal", now=self.now)

    def one(self) -> None:
        """Take one job from submission to result."""
        job, _ = self.asker.submit(self.job(), RUNNER, self.now)
        self.runner.receive(ASKER, Put(job), self.now)
        result = job.completed("account created", now=self.now)
        self.runner.finish(ASKER, job.id, result, self.now)
        self.asker.receive(RUNNER, Update(result), self.now)

    def grow(self, size: int) -> tuple[int, int]:
        """Put jobs on the asker's board, then their copies on the runner's; give jobs and bytes of the former."""
        gc.collect()
        before, count = resident_kib(), self.count
        jobs = [self.aged() for _ in range(size - count)]
        self.asker.restore((Write(RUNNER, job) for job in jobs), self.now)
        gc.collect()
        taken = (resident_kib() - before) * 1024
        self.runner.restore((Write(ASKER, job) for job in jobs), self.now)
        return self.count - count, taken

    def aged(self) -> Job:
        job = self.job().pending(now=self.now)
        return job if self.count % 10 == 0 else job.completed("account created", now=self.now)

    def cost(self) -> float:
        """Give the seconds of processor time that one job takes now, the best of a few samples of many."""
        times = []
        for _ in range(3):
            begun = time.process_time()
            for _ in range(SAMPLE):
                self.one()
            times.append((time.process_time() - begun) / SAMPLE)
        return min(times)


def main(options: argparse.Namespace) -> Report:
    report = Report("A job from submission to result on two boards, by the number of jobs on them")
    costs: dict[int, list[float]] = {size: [] for size in options.sizes}
    memory: list[float] = []
    for _ in range(options.rounds):
        pair = Pair()
        grown = 0
        for size in options.sizes:
            if size > pair.count:
                grown, taken = pair.grow(size)
            costs[size].append(pair.cost())
        memory.append(taken / grown)
    for size in options.sizes:
        report.add(f"{size:,} jobs", [seconds * 1e6 for seconds in costs[size]], "us")
    largest = options.sizes[-1]
    report.ratio(f"cost at {largest:,} / cost at 0", costs[largest], costs[options.sizes[0]], at_most=1.2)
    report.add("memory of a job on a board", memory, "bytes", at_most=1000)
    return report


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 10_000, 100_000, 1_000_000])
    parser.set_defaults(rounds=1)
    chosen = parser.parse_args()
    finish(main(chosen), chosen)
