"""What a job costs on a board that grows, and the memory that a finished job takes there.

Without any line: the exchanges of an asker and of a runner, each with its board. Three processes take turns: one
whose boards are empty, one whose boards fill with finished jobs, and one whose boards fill with pending ones. At
each size the same number of further jobs goes from submission to result in each, and processor time is counted.
Filling is not measured, and takes its jobs ready made, as from a store.

The memory of a finished job is that of an asker's board whose jobs came back as text, as from a peer.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
import time
import tracemalloc
import uuid
from collections.abc import Iterator

import attrs
from harness import Report, arguments, finish
from workers import Worker, next_order, open_worker, reply, resident_kib

from paddington import Peer
from templemeads.grammar import AddUser, UserIdentifier
from templemeads.jobs.commands import Put, Update, decode, encode
from templemeads.jobs.exchange import Exchange
from templemeads.jobs.job import Job
from templemeads.jobs.outcome import Write
from templemeads.limits import Limits

ASKER, RUNNER = Peer("portal"), Peer("cluster")
LIMITS = Limits(board_jobs=10_000_000, jobs_in_flight=10_000_000, board_characters=2**40)
LIFETIME = 3600
SAMPLE = 1_000
"""Jobs in one sample of the cost."""

KINDS = ("finished", "pending")


class Pair:
    """The exchanges of two agents, and the jobs that are on their boards."""

    def __init__(self) -> None:
        self.asker = Exchange(ASKER.name, limits=LIMITS)
        self.runner = Exchange(RUNNER.name, limits=LIMITS)
        self.now = time.time()
        self.count = 0

    def job(self) -> Job:
        self.count += 1
        return Job.parse(
            f"portal.cluster add_user u{self.count}.proj.portal", lifetime=LIFETIME, now=self.now
        )

    def one(self) -> None:
        """Take one job from submission to result."""
        job, _ = self.asker.submit(self.job(), RUNNER, self.now)
        self.runner.receive(ASKER, Put(job), self.now)
        result = job.completed("account created", now=self.now)
        self.runner.finish(ASKER, job.id, result, self.now)
        self.asker.receive(RUNNER, Update(result), self.now)

    def one_by_text(self) -> None:
        """Take one job from submission to a result that comes as text, on the asker's side alone."""
        job, _ = self.asker.submit(self.job(), RUNNER, self.now)
        command = decode(encode(Update(job.completed("account created", now=self.now))))
        assert isinstance(command, Update)
        self.asker.receive(RUNNER, command, self.now)

    def fill(self, size: int, kind: str) -> None:
        """Put jobs on both boards, until there are so many; they share all but what differs."""
        model = self.job().pending(now=self.now)
        if kind == "finished":
            model = model.completed("account created", now=self.now)
        jobs = list(self._like(model, size - self.count))
        self.asker.restore((Write(RUNNER, job) for job in jobs), self.now)
        self.runner.restore((Write(ASKER, job) for job in jobs), self.now)

    def _like(self, model: Job, number: int) -> Iterator[Job]:
        for _ in range(number):
            self.count += 1
            user = UserIdentifier(f"u{self.count}", "proj", "portal")
            yield attrs.evolve(model, id=uuid.uuid4(), instruction=AddUser(user))

    def cost(self, sample: int) -> float:
        """Return the microseconds of processor time that one job takes now."""
        begun = time.process_time()
        for _ in range(sample):
            self.one()
        return (time.process_time() - begun) / sample * 1e6


def memory(jobs: int, *, counted: bool) -> float:
    """Return the bytes of a finished job on a board: those by which this process grows, or those that Python counts."""

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if counted else resident_kib() * 1024

    if counted:
        tracemalloc.start()
    pair = Pair()
    pair.one_by_text()
    before = held()
    for _ in range(jobs):
        pair.one_by_text()
    return (held() - before) / jobs


def full_collection() -> float:
    """Return the milliseconds that the garbage collector takes for all objects of this process."""
    begun = time.perf_counter()
    gc.collect()
    return (time.perf_counter() - begun) * 1e3


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Let no garbage collector go through a million jobs again and again while they are made."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def work() -> None:
    """Keep boards, and take orders."""
    reply()
    pair = Pair()
    while (order := next_order()) is not None:
        match order["order"]:
            case "fill":
                with without_collections():
                    pair.fill(order["size"], order["kind"])
                reply(collection=full_collection())
            case "cost":
                reply(cost=pair.cost(order["sample"]))
            case "empty":
                pair = Pair()
                reply()
            case "memory":
                reply(bytes=memory(order["jobs"], counted=order["counted"]))
            case other:
                raise ValueError(other)


def main(options: argparse.Namespace) -> Report:
    report = Report("A job from submission to result on two boards, by the number of jobs on them")
    ratios: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        empty, *grown = (stack.enter_context(open_worker("boards.py", "--work")) for _ in range(3))
        boards = dict(zip(KINDS, grown, strict=True))
        for size in options.sizes:
            for kind, worker in boards.items():
                worker.tell("fill", size=size, kind=kind)
            collections = {kind: worker.answer()["collection"] for kind, worker in boards.items()}
            costs = take_turns(empty, boards, options)
            report.add(f"empty boards, beside {size:,}", costs["empty"], "us")
            for kind in KINDS:
                report.add(f"{size:,} {kind} jobs", costs[kind], "us")
                report.add(f"{size:,} {kind} jobs: full garbage collection", [collections[kind]], "ms")
                ratios[kind] = [a / b for a, b in zip(costs[kind], costs["empty"], strict=True)]
    for kind in KINDS:
        report.add(f"cost at {options.sizes[-1]:,} {kind} / empty", ratios[kind], "x", at_most=1.2)
    grown_by, counted = measure_memory(options)
    report.add("memory of a finished job on a board", grown_by, "bytes", at_most=1000)
    report.add("the same, as Python counts", counted, "bytes")
    return report


def take_turns(
    empty: Worker, boards: dict[str, Worker], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Return samples of the cost at empty boards and at each of the others, in turns."""
    costs: dict[str, list[float]] = {"empty": [], **{kind: [] for kind in boards}}
    for number in range(options.samples + 1):
        empty.ask("empty")
        for kind, worker in {"empty": empty, **boards}.items():
            cost = worker.ask("cost", sample=options.sample)["cost"]
            if number:  # the first warms up
                costs[kind].append(cost)
    return costs


def measure_memory(options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Return the memory of a job by both ways of counting, each in new processes."""
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(options.rounds):
        for counted, jobs in ((False, options.memory), (True, options.memory // 3)):
            with open_worker("boards.py", "--work") as worker:
                samples[counted].append(worker.ask("memory", jobs=jobs, counted=counted)["bytes"])
    return samples


if __name__ == "__main__":
    parser = arguments(__doc__, sizes=[1_000], sample=100, samples=3, memory=1_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--samples", type=int, default=9, help="samples of the cost at each size")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="jobs in a sample")
    parser.add_argument("--memory", type=int, default=50_000, help="finished jobs whose memory is measured")
    parser.set_defaults(rounds=1)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work()
        sys.exit()
    finish(main(chosen), chosen)
