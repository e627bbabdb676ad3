"""How long ``templemeads --help`` takes, beside the bare interpreter: what every command pays before it does anything.

    python benchmarks/startup.py [--rounds 15] [--json]

The target is less than 150 ms more than the interpreter alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

TARGET_MS = 150.0

COMMANDS = {
    "the interpreter alone": ["-c", "pass"],
    "templemeads --help": [
        "-c",
        "import sys; sys.argv = ['templemeads', '--help']; from cli.main import main; main()",
    ],
    "templemeads status, no agent": [
        "-c",
        "import sys; sys.argv = ['templemeads', '-c', '/nowhere/x.toml', 'status']; from cli.main import main; main()",
    ],
}


def milliseconds(arguments: list[str]) -> float:
    """Run the interpreter once."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    return (time.perf_counter() - started) * 1000


def measure(rounds: int) -> dict[str, list[float]]:
    """Run all commands in turns, so that what else the machine does falls on all alike."""
    for arguments in COMMANDS.values():
        milliseconds(arguments)  # files into the cache, modules compiled
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            taken[name].append(milliseconds(arguments))
    return taken


def main() -> int:
    """Print a table, or data, and return 0 if the target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    taken = measure(options.rounds)
    bare = statistics.median(taken["the interpreter alone"])
    rows = [
        {
            "command": name,
            "median_ms": round(statistics.median(times), 1),
            "lowest_ms": round(min(times), 1),
            "more_than_bare_ms": round(statistics.median(times) - bare, 1),
        }
        for name, times in taken.items()
    ]
    if options.json:
        print(json.dumps({"target_ms": TARGET_MS, "rows": rows}, indent=2))
    else:
        for row in rows:
            print(f"{row['command']:30} {row['median_ms']:7.1f} ms  (+{row['more_than_bare_ms']:.1f})")
    return 0 if rows[1]["more_than_bare_ms"] < TARGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
