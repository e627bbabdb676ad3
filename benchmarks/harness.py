"""What the benchmarks share: rounds side by side, medians with their spread, tables and JSON, and processes.

Machines differ, and so do minutes on one machine. So whatever is to be compared runs in turns within one
run, each round gives one ratio, and what is reported is the median of the rounds with the lowest and the
highest of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import trio

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Figure:
    """One line of a table: the median of its samples, and between which they lay."""

    name: str
    value: float
    unit: str
    low: float
    high: float
    samples: int
    target: str = ""
    met: bool | None = None

    def row(self) -> list[str]:
        verdict = "" if self.met is None else ("met" if self.met else "MISSED")
        spread = "" if self.samples < 2 else f"{shown(self.low)} … {shown(self.high)}"
        return [self.name, shown(self.value), self.unit, spread, self.target, verdict]


def shown(value: float) -> str:
    """Give three figures of a number, as people write it."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def quantile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass
class Report:
    """The figures of one benchmark."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

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
        value = statistics.median(samples)
        target, met = "", None
        if at_least is not None:
            target, met = f">= {at_least:g}", value >= at_least
        elif at_most is not None:
            target, met = f"<= {at_most:g}", value <= at_most
        self.figures.append(Figure(name, value, unit, min(samples), max(samples), len(samples), target, met))
        return value

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

    def print(self) -> None:
        rows = [["figure", "median", "unit", "lowest … highest", "target", ""]]
        rows += [figure.row() for figure in self.figures]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        print(f"\n{self.title}\n")
        for row in rows:
            cells = [
                cell.rjust(width) if column == 1 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print("  ".join(cells).rstrip())
        for text in self.notes:
            print(f"note: {text}")
        sys.stdout.flush()


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each with everything in turns")
    parser.add_argument("--seconds", type=float, default=1.0, help="time of one measurement in a round")
    return parser


def finish(report: Report, options: argparse.Namespace) -> None:
    report.print()
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(report), indent=1))


def as_json(report: Report) -> dict[str, object]:
    machine = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "load": os.getloadavg()[0],
    }
    return {"title": report.title, "machine": machine} | {
        "figures": [asdict(figure) for figure in report.figures],
        "notes": report.notes,
    }


# -- processes ---------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a directory on a disk, not in memory: boards in files are measured with their fsync."""
    with tempfile.TemporaryDirectory(prefix="templemeads-benchmark-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextlib.asynccontextmanager
async def child(*command: str | Path) -> AsyncIterator[trio.Process]:
    """Run a script of this directory, until the block ends; it has printed a line when the block begins."""
    script, *rest = map(str, command)
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            [sys.executable, str(HERE / script), *rest],
            stdout=subprocess.PIPE,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        process: trio.Process = await nursery.start(start)
        try:
            assert process.stdout is not None
            with trio.fail_after(30):
                line = await process.stdout.receive_some()
            if not line:
                raise RuntimeError(f"{script} did not start")
            yield process
        finally:
            process.terminate()


def processor_seconds(pid: int) -> float:
    """Give the processor time that a process has used, the system's included, from /proc; 0 where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid: int | None = None) -> int:
    """Give the memory that a process holds, from /proc; 0 where there is none."""
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
