"""What the benchmarks share: figures with their spread, reports as tables and as JSON, and their arguments.

Machines differ, and so do minutes on one machine. So whatever is to be compared runs in turns within one
run, each round gives one ratio, and what is reported is the median of the rounds with the lowest and the
highest of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import Watch, describe

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Figure:
    """One line of a table: samples, their median, and what it should be."""

    name: str
    samples: Sequence[float]
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.samples)

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "" if self.at_most is None else f"<= {self.at_most:g}"

    @property
    def met(self) -> bool | None:
        """Whether the median is as it should be; None where nothing was promised."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    def row(self) -> list[str]:
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        spread = f"{shown(min(self.samples))} … {shown(max(self.samples))}" if len(self.samples) > 1 else ""
        return [self.name, shown(self.value), self.unit, spread, self.target, verdict]

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "low": min(self.samples),
            "high": max(self.samples),
            "samples": list(self.samples),
            "at_least": self.at_least,
            "at_most": self.at_most,
            "met": self.met,
        }


def shown(value: float) -> str:
    """Return three figures of a number, as people write it."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which this part of all values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass
class Report:
    """The figures of one benchmark, from its beginning on."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    watch: Watch = field(default_factory=Watch)
    began: float = field(default_factory=time.time)

    def add(
        self,
        name: str,
        samples: Sequence[float],
        unit: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> float:
        """Add a line; give its median."""
        figure = Figure(name, samples, unit, at_least, at_most)
        if any(figure.name == other.name for other in self.figures):
            raise ValueError(f"There is a figure {name!r} already")
        self.figures.append(figure)
        return figure.value

    def ratio(
        self,
        name: str,
        over: Sequence[float],
        under: Sequence[float],
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> float:
        """Add the ratio of what was measured in the same rounds."""
        ratios = [a / b for a, b in zip(over, under, strict=True)]
        return self.add(name, ratios, "x", at_least=at_least, at_most=at_most)

    def note(self, text: str) -> None:
        self.notes.append(text)

    @property
    def missed(self) -> list[Figure]:
        return [figure for figure in self.figures if figure.met is False]

    def print(self) -> None:
        print(f"\n{self.title}\n")
        print_table(
            [["figure", "median", "unit", "lowest … highest", "target", ""]]
            + [figure.row() for figure in self.figures]
        )
        for text in self.notes:
            print(f"note: {text}")
        sys.stdout.flush()

    def as_json(self) -> dict[str, object]:
        return {
            "title": self.title,
            "machine": describe(),
            "load_before": self.watch.load,
            "foreign_processors": self.watch.foreign(),
            "began": self.began,
            "seconds": time.time() - self.began,
            "figures": [figure.as_json() for figure in self.figures],
            "notes": self.notes,
        }


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns; numbers, in the second one, to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column == 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


# -- arguments -----------------------------------------------------------------------------------------------

QUICK = {"rounds": 1, "seconds": 0.1}


class Arguments(argparse.ArgumentParser):
    """The arguments that every benchmark has; `--quick` gives small values to all that were not given."""

    def __init__(self, description: str | None, quick: dict[str, Any]) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        self._quick = QUICK | quick
        self.add_argument("--json", type=Path, help="write the figures to this file too")
        self.add_argument("--rounds", type=int, default=3, help="rounds, each with everything in turns")
        self.add_argument("--seconds", type=float, default=1.0, help="time of one measurement in a round")
        self.add_argument("--quick", action="store_true", help="just see whether it works, in little time")
        self.add_argument("--check", action="store_true", help="end with status 1 where a target is missed")

    def parse_args(self, *given: Any, **named: Any) -> Any:
        chosen = super().parse_args(*given, **named)
        if chosen.quick:
            self.set_defaults(**self._quick)
            chosen = super().parse_args(*given, **named)
        return chosen


def arguments(description: str | None, **quick: Any) -> Arguments:
    """Make a parser of arguments.

    Args:
        description: What the benchmark does.
        quick: What arguments are with `--quick`.
    """
    return Arguments(description, quick)


def finish(report: Report, options: argparse.Namespace) -> None:
    """Print a report, write it, and end with status 1 if targets are to be checked and one is missed."""
    if (warning := report.watch.warning()) is not None:
        report.note(warning)
    report.print()
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_json(), indent=1))
    if options.check and report.missed:
        sys.exit(1)
