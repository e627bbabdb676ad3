"""Draw the figures that ``python -m benchmarks --json DIRECTORY`` wrote: one picture, rates on a scale of tens.

Needs matplotlib, which nothing else here does: ``python benchmarks/plot.py DIRECTORY rates.svg``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(directory: str, picture: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.exit("matplotlib is needed: install it, or read the tables")
    figures = []
    for name in ("jobs", "peers", "route"):
        path = Path(directory, f"{name}.json")
        if path.exists():
            report = json.loads(path.read_text())
            figures += [(f"{name}: {row['name']}", row) for row in report["figures"] if row["unit"] == "/s"]
    if not figures:
        sys.exit(f"no figures in {directory}")
    figure = Figure(figsize=(9, 0.35 * len(figures) + 1), layout="constrained")
    axes = figure.add_subplot()
    names = [name for name, _ in figures]
    values = [row["value"] for _, row in figures]
    spread = [
        [row["value"] - row["low"] for _, row in figures],
        [row["high"] - row["value"] for _, row in figures],
    ]
    axes.barh(names, values, xerr=spread, color="#4477aa", ecolor="#222222")
    axes.set_xscale("log")
    axes.set_xlabel("per second, median with the lowest and the highest round")
    axes.invert_yaxis()
    figure.savefig(picture)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
