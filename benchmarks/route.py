"""A job's way through four agents in four processes, beside the way to a neighbour.

Four agents make three connections: a job crosses six lines and eight boards until its result is there. On a
machine with fewer processors than agents the rates share them.
"""

from __future__ import annotations

import argparse
import os

import agents
import contest
from harness import Report, arguments, finish
from workers import scratch

ROWS = {"two agents": 2, "four agents": 4}


def main(options: argparse.Namespace) -> Report:
    report = Report("Jobs along a row of agents on loopback")
    with scratch() as directory:
        rows = {name: agents.row(directory / str(length), length) for name, length in ROWS.items()}
        turns = contest.compete(rows, rounds=options.rounds, seconds=options.seconds)
    for name in ROWS:
        contest.add_turns(report, name, turns[name])
    two, four = (turns[name] for name in ROWS)
    report.ratio("jobs, four agents / two", contest.rates(four), contest.rates(two))
    report.ratio("time alone, four agents / two", contest.medians(four), contest.medians(two))
    report.ratio(
        "processor time, four agents / two",
        [turn.many.processor for turn in four],
        [turn.many.processor for turn in two],
    )
    if (os.cpu_count() or 1) < ROWS["four agents"]:
        report.note(f"four agents share {os.cpu_count()} processors")
    return report


if __name__ == "__main__":
    chosen = arguments(__doc__).parse_args()
    finish(main(chosen), chosen)
