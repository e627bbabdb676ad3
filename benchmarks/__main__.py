"""All benchmarks one after another, each in processes of its own: `python -m benchmarks`.

The tables go to the terminal, at last all targets together; `--json` names a directory for the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import machine  # noqa: E402 - a script of this directory, as the scripts themselves import it
from harness import print_table, shown  # noqa: E402

SCRIPTS = {
    "jobs": ["--rounds", "4", "--seconds", "1.5"],
    "peers": ["--rounds", "3"],
    "route": ["--rounds", "3"],
    "boards": [],
    "resync": ["--rounds", "1"],
    "idle": [],
    "micro": [],
    "imports": ["--rounds", "5"],
    "grammar": ["--size", "100000", "--rounds", "10"],
    "startup": [],
}
"""What keeps the whole below five minutes; each script alone does more if asked to."""

LONGER: dict[str, list[str]] = {"strangers": [], "load": []}
"""These run only when they are asked for by name."""

FOREIGN = {"peers"}
"""With `--quick` these are left out unless asked for by name: they need what may not be installed."""


def run(name: str, extra: list[str], place: Path) -> dict[str, Any] | None:
    """Run one benchmark; give its report, or None if it failed."""
    path = place / f"{name}.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"{name}.py"), *extra, "--json", str(path)]
    if subprocess.run(command, check=False).returncode or not path.exists():
        return None
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def print_targets(reports: dict[str, dict[str, Any]]) -> bool:
    """Print what was promised and what came of it; give whether all is met."""
    rows = [["target", "median", "", "lowest … highest", "promised", ""]]
    for name, report in reports.items():
        for figure in report["figures"]:
            if figure["met"] is not None:
                least, most = figure["at_least"], figure["at_most"]
                promised = f">= {least:g}" if least is not None else f"<= {most:g}"
                spread = f"{shown(figure['low'])} … {shown(figure['high'])}"
                verdict = "met" if figure["met"] else "MISSED"
                value = shown(figure["value"])
                rows.append([f"{name}: {figure['name']}", value, figure["unit"], spread, promised, verdict])
    print("\nAll targets\n")
    print_table(rows)
    return all(row[-1] != "MISSED" for row in rows)


def run_all(options: argparse.Namespace, place: Path) -> int:
    begun = time.monotonic()
    # Each benchmark is a load for the next: what counts is what there was before them all.
    os.environ[machine.LOAD_BEFORE] = str(machine.load_before())
    reports: dict[str, dict[str, Any]] = {}
    failed = []
    for name, extra in (SCRIPTS | LONGER).items():
        wanted = name in options.only if options.only else name in SCRIPTS
        if not wanted or (options.quick and name in FOREIGN and name not in options.only):
            continue
        report = run(name, ["--quick"] if options.quick else extra, place)
        if report is None:
            failed.append(name)
        else:
            reports[name] = report
    met = print_targets(reports)
    seconds = time.monotonic() - begun
    print(f"\n{seconds:.0f} s in all" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed or (options.check and not met) else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures of each into this directory")
    parser.add_argument("--quick", action="store_true", help="just see whether they work")
    parser.add_argument("--check", action="store_true", help="end with status 1 where a target is missed")
    everything = [*SCRIPTS, *LONGER]
    parser.add_argument(
        "only", nargs="*", metavar="name", help=f"only these, of {', '.join(everything)}", default=[]
    )
    options = parser.parse_args()
    if unknown := set(options.only) - set(everything):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: there are {', '.join(everything)}")
    if options.json is not None:
        options.json.mkdir(parents=True, exist_ok=True)
        return run_all(options, options.json)
    with tempfile.TemporaryDirectory(prefix="templemeads-benchmarks-") as place:
        return run_all(options, Path(place))


if __name__ == "__main__":
    sys.exit(main())
