"""How long imports take, beside those of the libraries that they bring along.

An installed package has been compiled, and so have all libraries; so each process here finds compiled modules, in a
directory of this run, whatever the environment says about writing them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path

from harness import ROOT, Report, arguments, finish
from workers import scratch

HANDLERS = "from templemeads import Agent, AgentConfig, Handlers, Job, open_agent; from templemeads.grammar import AddUser"
CONTESTANTS = {
    "import templemeads": "import templemeads",
    "the grammar": "import templemeads.grammar",
    "what a program with handlers imports": HANDLERS,
}
FOREIGN = """
import sys
before = set(sys.modules)
{}
ours = ("templemeads", "paddington")
for name in set(sys.modules) - before:
    first, *rest = name.split(".")
    if first not in ours and not any(part.startswith("_") for part in (first, *rest)):
        print(name)
"""


def environment(compiled: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(compiled)}


def libraries(code: str, compiled: Path) -> str:
    """Return the code that imports just what some code brings along, save what is ours; private modules come with others."""
    listing = [sys.executable, "-c", FOREIGN.format(code)]
    found = subprocess.run(
        listing, check=True, capture_output=True, text=True, env=environment(compiled)
    ).stdout
    return "\n".join(f"import {name}" for name in sorted(found.split())) or "pass"


def seconds(code: str, compiled: Path) -> float:
    """Return the processor time of a new process that runs the code."""
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(compiled))
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime


def main(options: argparse.Namespace) -> Report:
    report = Report("Processor time of new processes that import something")
    with scratch() as compiled:
        codes = {
            "the interpreter alone": "pass",
            "libraries of a program with handlers": libraries(HANDLERS, compiled),
            "libraries of the grammar": libraries(CONTESTANTS["the grammar"], compiled),
            **CONTESTANTS,
        }
        taken: dict[str, list[float]] = {name: [] for name in codes}
        for number in range(options.rounds * 3 + 1):
            for name, code in codes.items():
                spent = seconds(code, compiled)
                if number:  # the first fills the caches
                    taken[name].append(spent)
    for name, times in taken.items():
        report.add(name, [each * 1e3 for each in times], "ms")
    all_libraries = taken["libraries of a program with handlers"]
    report.ratio("import templemeads / libraries", taken["import templemeads"], all_libraries, at_most=1.3)
    report.ratio(
        "program with handlers / libraries",
        taken["what a program with handlers imports"],
        all_libraries,
        at_most=1.3,
    )
    report.ratio("grammar / its libraries", taken["the grammar"], taken["libraries of the grammar"])
    return report


if __name__ == "__main__":
    chosen = arguments(__doc__).parse_args()
    finish(main(chosen), chosen)
