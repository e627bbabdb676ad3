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
from harness import Report, arguments, finish, scratch

from paddington import Limits, Peer
from paddington.codec import EnvelopeCodec
from paddington.crypto import Key, Salt, seal
from paddington.dense import DenseKeys, DenseSession
from paddington.envelope import EnvelopeKeys, Mark
from paddington.replay import InfoMemory
from paddington.session import Session
from templemeads.commands import Put, Update, decode, encode
from templemeads.grammar import Instruction
from templemeads.job import Job
from templemeads.outcome import Write
from templemeads.store_sqlite import open_sqlite_store

TEXT = "portal.cluster add_user fred.proj.portal"


def microseconds(call: Callable[[], object], rounds: int) -> list[float]:
    timer = timeit.Timer(call, timer=time.process_time)
    number, taken = timer.autorange()
    number = max(1, int(number * 0.05 / max(taken, 1e-9)))
    return [seconds / number * 1e6 for seconds in timer.repeat(repeat=rounds, number=number)]


def envelope_pair() -> tuple[Session, Session]:
    keys = EnvelopeKeys.derive(Key.generate(), Key.generate(), Salt.generate(), Salt.generate())
    limits = Limits()
    one, other = (
        Session(EnvelopeCodec(keys, Mark.generate()), peer_numbers=True, infos=InfoMemory(1), limits=limits)
        for _ in range(2)
    )
    return one, other


def dense_pair() -> tuple[DenseSession, DenseSession]:
    secret = (Key.generate(), Key.generate(), Salt.generate(), Salt.generate())
    one, other = (
        DenseSession(DenseKeys.derive(*secret, dialled=dialled), limits=Limits()) for dialled in (True, False)
    )
    return one, other


async def commits(directory: Path, jobs: list[Job], batch: int) -> float:
    """Give the microseconds that the store takes for one job, so many to a commit."""
    async with open_sqlite_store("bench", path=directory / f"{batch}.db") as store:
        begun = time.perf_counter()
        for at in range(0, len(jobs), batch):
            chunk = jobs[at : at + batch]
            await store.wait_kept(store.write([Write(Peer("portal"), job) for job in chunk]))
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
        report.add(name, [taken / parts for taken in microseconds(call, options.rounds)], "us")
    jobs = [Job.parse(f"portal.cluster add_user u{number}.proj.portal").pending() for number in range(2000)]
    for size in (1, 32, 1000):
        taken = []
        for _ in range(options.rounds):
            with scratch() as directory:
                taken.append(trio.run(commits, directory, jobs[: 200 * min(size, 10)], size))
        report.add(f"sqlite, kept, {size} to a commit", taken, "us")
    report.note("sqlite: elapsed time, each commit with its fsync")
    return report


if __name__ == "__main__":
    chosen = arguments(__doc__).parse_args()
    finish(main(chosen), chosen)
