"""Instructions of one job, both sides of it, counted by valgrind: a figure that a busy machine does not change.

Two agents in one process over the memory network, 100 jobs under way; a mock clock, so no timer runs. A count of few jobs is
subtracted from a count of many, which leaves what one job costs. With `--budget` the figures are compared with those in
`benchmarks/instructions.json`, and a figure that is above its budget by more than 3 % ends the script with status 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
BUDGET_PATH: Final = Path(__file__).with_name("instructions.json")

CASES: Final[Mapping[str, tuple[str, ...]]] = {
    "own framing": (),
    "compatible framing": ("--compatible",),
    "own framing, default log": ("--log",),
    "compatible framing, default log": ("--compatible", "--log"),
}

FEW_JOBS: Final = 200
MANY_JOBS: Final = 700
IN_FLIGHT: Final = 100

TOLERANCE: Final = 0.03
"""Counts of the same code differ by less than 1 %, since ids, keys and nonces are random."""


class NoValgrindError(Exception):
    """There is no valgrind here."""


def thousands_per_job(case: str, source: Path = ROOT) -> float:
    """Return the thousands of instructions that one job takes.

    Args:
        case: One of `CASES`.
        source: The root of the sources that are measured.

    Raises:
        NoValgrindError: There is no valgrind here.

    """
    with ThreadPoolExecutor() as pool:
        few, many = pool.map(lambda jobs: _instructions(case, jobs, source), (FEW_JOBS, MANY_JOBS))
    return (many - few) / (MANY_JOBS - FEW_JOBS) / 1000


def _instructions(case: str, jobs: int, source: Path) -> int:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise NoValgrindError("valgrind is not installed: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report")
        command = [
            valgrind,
            "--tool=cachegrind",
            "--cache-sim=no",
            "--branch-sim=no",
            "--cachegrind-out-file=/dev/null",
            f"--log-file={report}",
            sys.executable,
            __file__,
            "--run",
            str(jobs),
            *CASES[case],
        ]
        # The seed of hashes decides how dictionaries collide.
        environment = os.environ | {"PYTHONPATH": str(source), "PYTHONHASHSEED": "0"}
        subprocess.run(command, cwd=directory, env=environment, check=True, stdin=subprocess.DEVNULL)
        found = re.search(r"I +refs: +([\d,]+)", report.read_text())
        assert found is not None, report.read_text()
        return int(found[1].replace(",", ""))


# -- what is counted --------------------------------------------------------------------------------------------------


def run_jobs(jobs: int, *, dense: bool, logged: bool) -> None:
    """Run so many jobs between two agents, in this process."""
    import trio
    from trio.testing import MockClock

    if not logged:
        logging.disable()
        trio.run(_run_jobs, jobs, dense, clock=MockClock())
        return
    from cli.log import configure_logging
    from templemeads.logcontext import RecentLogs

    # As `templemeads run` does by default where standard error is a file.
    with Path("agent.log").open("w") as stream:
        configure_logging(stream=stream, environment={})
        logging.getLogger().addHandler(RecentLogs())
        trio.run(_run_jobs, jobs, dense, clock=MockClock())
        logging.shutdown()


async def _run_jobs(jobs: int, dense: bool) -> None:
    import trio

    from paddington import open_service
    from paddington.testing import MemoryNetwork
    from templemeads import Envelope, Job, open_agent
    from templemeads.limits import Limits
    from templemeads.testing.networks import calendar, chain_configs

    async def answer(envelope: Envelope) -> Job:
        return envelope.job.completed("account created")

    limits = Limits(board_jobs=2_000_000, handlers=200, handlers_per_peer=200)
    configs = chain_configs(["portal", "cluster"], limits=limits)
    for config in configs.values():
        config.service.dense_framing = dense
    transport = partial(open_service, network=MemoryNetwork(), unix_time=calendar)
    numbers = iter(range(jobs))
    async with (
        open_agent(configs["portal"], answer, transport=transport, clock=calendar) as portal,
        open_agent(configs["cluster"], answer, transport=transport, clock=calendar) as cluster,
    ):
        await portal.wait_for("cluster")
        await cluster.wait_for("portal")

        async def keep_asking() -> None:
            for number in numbers:
                job = await portal.submit(f"portal.cluster add_user u{number}.proj.portal")
                assert (await job.wait()).result() == "account created"

        async with trio.open_nursery() as nursery:
            for _ in range(IN_FLIGHT):
                nursery.start_soon(keep_asking)


# -- the command ------------------------------------------------------------------------------------------------------


def excess(figures: Mapping[str, float], budget: Mapping[str, float]) -> list[str]:
    """Return a sentence for each figure that is above its budget by more than the tolerance."""
    return [
        f"{case}: a job takes {figures[case]:,.0f} thousand instructions, {figures[case] / allowed - 1:+.1%} against the "
        f"budget of {allowed:,.0f}; make it cheaper, or change {BUDGET_PATH.name} in the same commit and say why"
        for case, allowed in budget.items()
        if figures[case] > allowed * (1 + TOLERANCE)
    ]


def main(options: argparse.Namespace) -> int:
    """Count, print, compare; return the exit status."""
    if options.run is not None:
        run_jobs(options.run, dense=not options.compatible, logged=options.log)
        return 0
    budget: dict[str, float] = json.loads(BUDGET_PATH.read_text()) if options.budget else {}
    figures = {}
    for case in CASES:
        if options.only is not None and options.only != case:
            continue
        figures[case] = thousands_per_job(case, options.source.resolve())
        print(f"{case:35} {figures[case]:8,.0f} thousand instructions a job", flush=True)
    problems = excess(figures, budget)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=ROOT, help="the root of the sources to be measured")
    parser.add_argument("--only", choices=list(CASES), help="count this one only")
    parser.add_argument("--budget", action="store_true", help="compare with the budget")
    parser.add_argument("--run", type=int, metavar="JOBS", help="run so many jobs, and count nothing")
    parser.add_argument("--compatible", action="store_true", help="with --run: in the compatible framing")
    parser.add_argument("--log", action="store_true", help="with --run: with the default log")
    sys.exit(main(parser.parse_args()))
