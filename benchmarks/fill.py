"""Put the figures that `python -m benchmarks --json DIRECTORY` wrote into the tables of a page.

    python benchmarks/fill.py DIRECTORY docs/performance.md

A table is preceded by `<!-- figures: NAME -->`, the name of a benchmark. Each of its rows begins with the name of one
of that benchmark's figures; the cells after it are written anew. The line after `<!-- machine -->` tells on what the
figures were taken. A row without a figure stays as it is, and is named at the end, with status 1.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from harness import shown
from machine import FOREIGN, LOAD

TABLE = re.compile(r"<!-- figures: (\w+) -->")
MACHINE = "<!-- machine -->"


def row(figure: dict[str, Any]) -> str:
    spread = f"{shown(figure['low'])} … {shown(figure['high'])}" if len(figure["samples"]) > 1 else ""
    least, most = figure["at_least"], figure["at_most"]
    promised = "" if figure["met"] is None else f"≥ {least:g}" if least is not None else f"≤ {most:g}"
    verdict = {None: "", True: ": met", False: ": **missed**"}[figure["met"]]
    unit = {"x": "", "us": " µs"}.get(figure["unit"], f" {figure['unit']}")
    return f"| {figure['name']} | {shown(figure['value'])}{unit} | {spread} | {promised}{verdict} |"


def machine_line(reports: dict[str, dict[str, Any]]) -> str:
    worst = max(reports.values(), key=lambda report: report["foreign_processors"])
    machine = worst["machine"]
    load = min(report["load_before"] for report in reports.values())
    quiet = worst["foreign_processors"] <= FOREIGN and load <= LOAD
    return (
        f"{machine['implementation']} {machine['python']}, {machine['processors']} processors "
        f"({machine['processor']}), {machine['system']}; load average before the run "
        f"{load:.2f}, other work on at most "
        f"{worst['foreign_processors']:.2f} processors in any benchmark. "
        + (
            "It was quiet."
            if quiet
            else "**It was not quiet: rates and times are worth little, ratios more.**"
        )
    )


def fill(text: str, reports: dict[str, dict[str, Any]]) -> tuple[str, list[str]]:
    """Return the page with its figures, and the rows that had none."""
    lines: list[str] = []
    empty: list[str] = []
    benchmark: str | None = None
    for line in text.splitlines():
        new = line
        if (found := TABLE.fullmatch(line)) is not None:
            benchmark = found[1]
        elif lines and lines[-1] == MACHINE:
            new = machine_line(reports)
        elif not line:
            benchmark = None
        elif benchmark is not None and line.startswith("| ") and not line.startswith("| figure |"):
            name = line.split("|")[1].strip()
            named = {figure["name"]: figure for figure in reports.get(benchmark, {"figures": []})["figures"]}
            if name in named:
                new = row(named[name])
            else:
                empty.append(f"{benchmark}: {name}")
        lines.append(new)
    return "\n".join(lines) + "\n", empty


def main(directory: str, page: str) -> int:
    reports = {path.stem: json.loads(path.read_text()) for path in Path(directory).glob("*.json")}
    if not reports:
        sys.exit(f"no figures in {directory}")
    text, empty = fill(Path(page).read_text(), reports)
    Path(page).write_text(text)
    for name in empty:
        print(f"there is no figure for the row {name}", file=sys.stderr)
    return 1 if empty else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
