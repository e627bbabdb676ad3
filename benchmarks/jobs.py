"""Jobs between two agents in two processes, beside a bare WebSocket echo of frames of the same size.

Jobs per second with 100 under way, and the time of one job after another, for both framings and for boards
in memory and in SQLite files (on both sides; every answer waits for its fsync). The product is as it comes:
boards, routes, checks and limits.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from functools import partial

import agents
import echo
import trio
from harness import Report, arguments, finish, processor_seconds, quantile, scratch

CONTESTANTS = ("memory, own", "memory, compatible", "sqlite, own", "sqlite, compatible")


async def main(options: argparse.Namespace) -> Report:
    report = Report("Jobs between two agents on loopback, beside a trio-websocket echo of 2,500-byte texts")
    rates: dict[str, list[float]] = {}
    medians: dict[str, list[float]] = {}
    tails: dict[str, list[float]] = {}
    under_load: dict[str, list[float]] = {}
    work: dict[str, list[float]] = {}
    pids: dict[str, list[int]] = {name: [] for name in ("echo", "echo, tuned", *CONTESTANTS)}
    with scratch() as directory:
        async with contextlib.AsyncExitStack() as stack:
            plain = await stack.enter_async_context(echo.open_echo(tuned=False, pids=pids["echo"]))
            tuned = await stack.enter_async_context(echo.open_echo(pids=pids["echo, tuned"]))
            bursts = {"echo": partial(echo.burst, plain), "echo, tuned": partial(echo.burst, tuned)}
            for name in options.only or CONTESTANTS:
                place = directory / name.replace(", ", "-")
                place.mkdir()
                paths = agents.write_row(
                    place, ["portal", "cluster"], sqlite="sqlite" in name, dense="own" in name
                )
                agent = await stack.enter_async_context(agents.open_row(paths, pids[name]))
                bursts[name] = partial(agents.burst, agent, paths)
            for number in range(options.rounds + 1):
                for name, burst in bursts.items():
                    used = time.process_time() + sum(map(processor_seconds, pids[name]))
                    rate, loaded = await burst(100, options.seconds)
                    used = time.process_time() + sum(map(processor_seconds, pids[name])) - used
                    _, alone = await burst(1, options.seconds / 2)
                    if number:  # the first round warms up
                        rates.setdefault(name, []).append(rate)
                        work.setdefault(name, []).append(used / len(loaded))
                        medians.setdefault(name, []).append(quantile(alone, 0.5))
                        tails.setdefault(name, []).append(quantile(alone, 0.99))
                        under_load.setdefault(name, []).append(quantile(loaded, 0.99))
    for name in bursts:
        report.add(f"{name}: 100 under way", rates[name], "/s")
        report.add(f"{name}: 100 under way, p99", [t * 1e3 for t in under_load[name]], "ms")
        report.add(f"{name}: processor time, both sides", [t * 1e6 for t in work[name]], "us")
        report.add(f"{name}: alone, p50", [t * 1e6 for t in medians[name]], "us")
        report.add(f"{name}: alone, p99", [t * 1e6 for t in tails[name]], "us")
    for name, least in (("memory, compatible", 0.5), ("memory, own", 2.5)):
        if name in rates:
            report.ratio(f"{name}: jobs / echoes", rates[name], rates["echo"], at_least=least)
            report.ratio(f"{name}: jobs / tuned echoes", rates[name], rates["echo, tuned"])
            report.ratio(f"{name}: echo's processor time / job's", work["echo"], work[name])
            report.ratio(f"{name}: time alone / echo's", medians[name], medians["echo"], at_most=2.5)
    for framing in ("compatible", "own"):
        if f"sqlite, {framing}" in rates:
            report.ratio(
                f"{framing}: jobs on sqlite / in memory",
                rates[f"sqlite, {framing}"],
                rates[f"memory, {framing}"],
                at_least=0.4,
            )
    return report


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--only", action="append", choices=CONTESTANTS, help="only these, besides the echo")
    chosen = parser.parse_args()
    finish(trio.run(main, chosen), chosen)
    sys.exit(0)
