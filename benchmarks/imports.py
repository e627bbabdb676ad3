"""How long ``import templemeads`` takes, beside the imports of the libraries that it uses."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from harness import ROOT, Report, arguments, finish

CONTESTANTS = {
    "the interpreter alone": "pass",
    "its libraries": "import attrs, nacl.bindings, nacl.pwhash, tomlkit, tomllib, trio, trio_websocket, sqlite3, json",
    "templemeads": "import templemeads",
}


def seconds(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return time.perf_counter() - begun


def main(options: argparse.Namespace) -> Report:
    report = Report("Time until a module is imported, in new processes")
    taken: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for number in range(options.rounds * 3 + 1):
        for name, code in CONTESTANTS.items():
            if number:  # the first fills the caches
                taken[name].append(seconds(code))
            else:
                seconds(code)
    for name, times in taken.items():
        report.add(name, [each * 1e3 for each in times], "ms")
    report.ratio("templemeads / its libraries", taken["templemeads"], taken["its libraries"], at_most=1.3)
    return report


if __name__ == "__main__":
    chosen = arguments(__doc__).parse_args()
    finish(main(chosen), chosen)
