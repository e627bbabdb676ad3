"""A job's way through four agents in four processes, beside the way to a neighbour.

Four agents make three connections: a job crosses six lines and eight boards until its result is there. On a
machine with fewer processors than agents the rates share them.
"""

from __future__ import annotations

import argparse
import contextlib

import agents
import trio
from harness import Report, arguments, finish, quantile, scratch

ROWS = {"two agents": 2, "four agents": 4}
NAMES = ("portal", "provider", "platform", "cluster")


async def main(options: argparse.Namespace) -> Report:
    report = Report("Jobs along a row of agents on loopback")
    rates: dict[str, list[float]] = {name: [] for name in ROWS}
    medians: dict[str, list[float]] = {name: [] for name in ROWS}
    with scratch() as directory:
        async with contextlib.AsyncExitStack() as stack:
            rows = {}
            for name, length in ROWS.items():
                place = directory / str(length)
                place.mkdir()
                paths = agents.write_row(place, [*NAMES[: length - 1], NAMES[-1]])
                rows[name] = (await stack.enter_async_context(agents.open_row(paths)), paths)
            for number in range(options.rounds + 1):
                for name, (agent, paths) in rows.items():
                    rate, _ = await agents.burst(agent, paths, 100, options.seconds)
                    _, alone = await agents.burst(agent, paths, 1, options.seconds)
                    if number:
                        rates[name].append(rate)
                        medians[name].append(quantile(alone, 0.5))
    for name in ROWS:
        report.add(f"{name}: 100 under way", rates[name], "/s")
        report.add(f"{name}: alone, p50", [seconds * 1e6 for seconds in medians[name]], "us")
    report.ratio("time alone, four agents / two", medians["four agents"], medians["two agents"])
    report.ratio("jobs, four agents / two", rates["four agents"], rates["two agents"])
    return report


if __name__ == "__main__":
    chosen = arguments(__doc__).parse_args()
    finish(trio.run(main, chosen), chosen)
