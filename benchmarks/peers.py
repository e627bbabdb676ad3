"""The same errand by other means: what people would use instead, where it is installed, in turns with ours.

The errand: a job's JSON goes to another process, and comes back with a result; 100 are under way, then one after
another. The others neither encrypt, nor keep boards, nor check a grammar here; Dramatiq and Celery keep what
waits in a Redis that writes nothing to disk. Ours does all of it, with boards in memory.

Each of the others is set up as its documentation recommends for many small tasks: gRPC with one channel and
asyncio on both sides; nats-py with its shared inbox; Dramatiq with results in Redis, two worker processes, and 64
messages fetched ahead; Celery with results in Redis, the pool `solo` (the quickest for tasks without any
work), 64 messages fetched ahead, without gossip and heartbeats. All use the default event loop, and redis-py its
C parser where hiredis is installed.

Wanted: nats-py and `nats-server`; grpcio; dramatiq, celery, redis and hiredis with `redis-server`. What is
missing is left out with a note.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
from pathlib import Path

import agents
import contest
from contest import MANY, Contestant
from harness import Report, arguments, finish
from workers import scratch

OTHERS = {
    "nats-py": Contestant("errand_nats.py", (), ("nats",), ("nats-server",)),
    "grpc aio": Contestant("errand_grpc.py", (), ("grpc",)),
    "dramatiq": Contestant(
        "errand_dramatiq.py", ("-p", "2", "-t", "4"), ("dramatiq", "redis"), ("redis-server",)
    ),
    "celery": Contestant(
        "errand_celery.py",
        ("-P", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"),
        ("celery", "redis"),
        ("redis-server",),
    ),
}
PACKAGES = {"nats-py": "nats-py", "grpc aio": "grpcio", "dramatiq": "dramatiq", "celery": "celery"}
OURS = "own framing"
TARGETS = {"nats-py": 1, "grpc aio": 5, "dramatiq": 10, "celery": 30}

DRAMATIQ_PREFETCH = ("dramatiq_queue_prefetch", "64")
"""An environment variable of Dramatiq: its default, twice the threads, has its workers wait most of the time."""


def contestants(directory: Path, report: Report) -> dict[str, Contestant]:
    """Return who takes part, and note who cannot."""
    taking_part = {
        "echo": Contestant("echo.py"),
        OURS: agents.row(directory / "own"),
        "compatible framing": agents.row(directory / "compatible", dense=False),
    }
    for name, other in OTHERS.items():
        if absent := other.missing():
            report.note(f"{name} is left out: {', '.join(absent)} not installed")
        else:
            report.note(f"{name}: {PACKAGES[name]} {importlib.metadata.version(PACKAGES[name])}")
            taking_part[name] = other
    return taking_part


def main(options: argparse.Namespace) -> Report:
    report = Report(f"An errand to another process and back, {MANY} under way")
    os.environ.setdefault(*DRAMATIQ_PREFETCH)
    with scratch() as directory:
        turns = contest.compete(
            contestants(directory, report), rounds=options.rounds, seconds=options.seconds
        )
    for name in turns:
        contest.add_turns(report, name, turns[name])
    for name in (name for name in OTHERS if name in turns):
        report.ratio(
            f"{OURS} / {name}",
            contest.rates(turns[OURS]),
            contest.rates(turns[name]),
            at_least=TARGETS[name],
        )
        report.ratio(
            f"{OURS} / {name}: time alone", contest.medians(turns[OURS]), contest.medians(turns[name])
        )
    return report


if __name__ == "__main__":
    chosen = arguments(__doc__).parse_args()
    finish(main(chosen), chosen)
