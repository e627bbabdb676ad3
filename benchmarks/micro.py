"""What the single steps cost: cryptography, both framings, JSON, commands, jobs, and the store's commit."""

from __future__ import annotations

import argparse
import json
import os
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import trio
from frames import TEXT, dense_pair, envelope_pair
from harness import Report, arguments, finish
from workers import file_system, scratch

from paddington import Peer
from paddington.protocol.crypto import Key, seal
from templemeads.grammar import Instruction
from templemeads.jobs.commands import Put, Update, decode, encode
from templemeads.jobs.job import Job
from templemeads.jobs.outcome import Write
from templemeads.stores.sqlite import open_sqlite_store

COMMITS = (1, 32, 1000)
"""Jobs in one commit of the store."""


def microseconds(call: Callable[[], object], options: argparse.Namespace) -> list[float]:
    """Return the processor time of one call in each round, of so many that it can be measured."""
    timer = timeit.Timer(call, timer=time.process_time)
    number = 1
    while timer.timeit(number) < options.seconds / 20:
        number *= 2
    turns = timer.repeat(repeat=options.rounds, number=number)
    return [seconds / number * 1e6 for seconds in turns]


async def commits(path: Path, jobs: list[Job], batch: int) -> float:
    """Return the microseconds that the store takes for one job, so many to a commit."""
    async with open_sqlite_store("bench", path=path) as store:
        begun = time.perf_counter()
        for at in range(0, len(jobs), batch):
            chunk = jobs[at : at + batch]
            await store.wait_committed(store.write([Write(Peer("portal"), job) for job in chunk]))
        return (time.perf_counter() - begun) / len(jobs) * 1e6


def main(options: argparse.Namespace) -> Report:
    report = Report("Micro-costs, processor time")
    job = Job.parse(TEXT).pending()
    done = job.completed("account created")
    update = encode(Update(done))
    value = json.loads(update)["Update"]["job"]
    envelope, envelope_there = envelope_pair()
    dense, dense_there = dense_pair()
    key, data = Key.generate(), os.urandom(len(update))
    batch = [update] * 32
    steps: dict[str, tuple[Callable[[], object], int]] = {
        f"seal {len(update)} bytes": (lambda: seal(key, data), 1),
        "compatible framing, seal and open": (lambda: envelope_there.open(envelope.seal(update)), 1),
        "dense framing, seal and open, alone": (
            lambda: dense_there.open_some(dense.seal_some([update])[0]),
            1,
        ),
        "dense framing, seal and open, of 32": (lambda: dense_there.open_some(dense.seal_some(batch)[0]), 32),
        "Instruction.parse": (lambda: Instruction.parse("add_user fred.proj.portal"), 1),
        "Job.parse": (lambda: Job.parse(TEXT), 1),
        "job.completed": (lambda: job.completed("account created"), 1),
        "Job.from_json": (lambda: Job.from_json(value), 1),
        "command to text": (lambda: encode(Put(job)), 1),
        "text to command": (lambda: decode(update), 1),
    }
    for name, (call, parts) in steps.items():
        report.add(name, [taken / parts for taken in microseconds(call, options)], "us")
    add_commits(report, options)
    return report


def add_commits(report: Report, options: argparse.Namespace) -> None:
    """Add what the SQLite store takes to keep a job."""
    number = options.jobs
    jobs = [Job.parse(f"portal.cluster add_user u{index}.proj.portal").pending() for index in range(number)]
    for size in COMMITS:
        with scratch() as directory:
            place = file_system(directory) or "an unknown file system"
            some = jobs[: number // 10 * min(size, 10)]
            taken = [trio.run(commits, directory / f"{n}.db", some, size) for n in range(options.rounds)]
        report.add(f"sqlite, kept, {size} to a commit", taken, "us")
    report.note(f"sqlite: elapsed time for each job, each commit with its fsync, on {place}")


if __name__ == "__main__":
    parser = arguments(__doc__, jobs=50)
    parser.add_argument("--jobs", type=int, default=2_000, help="jobs that the store keeps")
    chosen = parser.parse_args()
    finish(main(chosen), chosen)
