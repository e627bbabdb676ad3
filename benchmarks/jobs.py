"""Jobs between two agents in two processes, beside a bare WebSocket echo of frames of the same size.

Jobs per second with 100 under way, and the time of one job after another, for both framings and for boards
in memory and in SQLite files (on both sides; every answer waits for its fsync). The product is as it comes:
boards, routes, checks and limits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import agents
import contest
import echo
from contest import Contestant, Turn
from frames import add_frame_sizes
from harness import Report, arguments, finish
from workers import file_system, scratch

OURS = {
    f"{board}, {framing}": {"sqlite": board == "sqlite", "dense": framing == "own"}
    for board in ("memory", "sqlite")
    for framing in ("own", "compatible")
}
MIN_SHARE_OF_ECHO = {"memory, compatible": 0.5, "memory, own": 2.5}


def contestants(directory: Path, chosen: list[str]) -> dict[str, Contestant]:
    echoes = {"echo": Contestant("echo.py"), "echo, tuned": Contestant("echo.py", ("--tuned",))}
    ours = {name: agents.row(directory / name.replace(", ", "-"), **OURS[name]) for name in chosen}
    return echoes | ours


def compare(report: Report, turns: dict[str, list[Turn]]) -> None:
    """Add what was promised, as ratios of what was measured in the same rounds."""
    echoes, tuned = turns["echo"], turns["echo, tuned"]
    for name, least in MIN_SHARE_OF_ECHO.items():
        if name not in turns:
            continue
        jobs = turns[name]
        report.ratio(f"{name}: jobs / echoes", contest.rates(jobs), contest.rates(echoes), at_least=least)
        report.ratio(f"{name}: jobs / tuned echoes", contest.rates(jobs), contest.rates(tuned))
        report.ratio(
            f"{name}: echo's processor time / job's",
            [turn.many.processor for turn in echoes],
            [turn.many.processor for turn in jobs],
        )
        report.ratio(
            f"{name}: time alone / echo's", contest.medians(jobs), contest.medians(echoes), at_most=2.5
        )
    for framing in ("compatible", "own"):
        kept, free = turns.get(f"sqlite, {framing}"), turns.get(f"memory, {framing}")
        if kept and free:
            report.ratio(
                f"{framing}: jobs on sqlite / in memory",
                contest.rates(kept),
                contest.rates(free),
                at_least=0.4,
            )


def main(options: argparse.Namespace) -> Report:
    report = Report(f"Jobs between two agents on loopback, beside an echo of {echo.SIZE:,}-byte texts")
    chosen = options.only or list(OURS)
    with scratch() as directory:
        report.note(f"SQLite files on {file_system(directory) or 'an unknown file system'}")
        turns = contest.compete(
            contestants(directory, chosen), rounds=options.rounds, seconds=options.seconds
        )
    for name in turns:
        contest.add_turns(report, name, turns[name])
    for name in chosen:
        contest.add_collecting(report, name, turns[name])
    compare(report, turns)
    add_frame_sizes(report)
    return report


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--only", action="append", choices=OURS, help="only these, besides the echo")
    chosen = parser.parse_args()
    finish(main(chosen), chosen)
