"""How long commands take to start, beside the bare interpreter: what each pays before it does anything."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from harness import Report, arguments, finish
from workers import environment

BARE = "the interpreter alone"
HELP = "templemeads --help"
COMMANDS = {
    BARE: "pass",
    HELP: "import sys; sys.argv = ['templemeads', '--help']; from templemeads.cli.main import main; main()",
    "templemeads status, no agent": (
        "import sys; sys.argv = ['templemeads', '-c', '/nowhere/x.toml', 'status'];"
        "from templemeads.cli.main import main; main()"
    ),
}
MAX_MILLISECONDS = 150


def milliseconds(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment())
    return (time.perf_counter() - begun) * 1e3


def main(options: argparse.Namespace) -> Report:
    report = Report("Time that a command takes, in new processes")
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(options.rounds + 1):
        for name, code in COMMANDS.items():
            time_taken = milliseconds(code)
            if number:  # the first fills the caches
                taken[name].append(time_taken)
    for name, times in taken.items():
        report.add(name, times, "ms")
    more = [a - b for a, b in zip(taken[HELP], taken[BARE], strict=True)]
    report.add(f"{HELP}, more than the interpreter", more, "ms", at_most=MAX_MILLISECONDS)
    return report


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.set_defaults(rounds=15)
    chosen = parser.parse_args()
    finish(main(chosen), chosen)
