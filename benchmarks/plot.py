"""Draw the figures that `python -m benchmarks --json DIRECTORY` wrote, as one picture.

Needs matplotlib, which nothing else here does: `python benchmarks/plot.py DIRECTORY figures.svg`. What the ending
of the picture's name says is written: svg, png, pdf.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness import shown

OURS, OTHERS, GOOD, BAD, GREY = "#0072B2", "#999999", "#009E73", "#D55E00", "#555555"
"""Colours that people tell apart who see fewer of them."""

CONTESTANTS = {
    "echo": ("jobs", "WebSocket echo"),
    "memory, own": ("jobs", "own framing"),
    "memory, compatible": ("jobs", "compatible framing"),
    "sqlite, own": ("jobs", "own framing, SQLite"),
    "sqlite, compatible": ("jobs", "compatible framing, SQLite"),
    "four agents": ("route", "own framing, four agents"),
    "nats-py": ("peers", "NATS request and reply"),
    "grpc aio": ("peers", "gRPC aio"),
    "dramatiq": ("peers", "Dramatiq on Redis"),
    "celery": ("peers", "Celery on Redis"),
}
ORDER = ("jobs", "peers", "route", "boards", "idle", "imports", "startup", "grammar", "strangers", "load")
FOREIGN = {"echo", "nats-py", "grpc aio", "dramatiq", "celery"}
MANY = "100 under way"

Figures = dict[str, dict[str, dict[str, Any]]]
"""By benchmark and name: what the reports hold."""


def read(directory: Path) -> tuple[Figures, dict[str, Any]]:
    """Return all figures in a directory, and what one of the reports says of the machine."""
    reports = {
        name: json.loads(path.read_text()) for name in ORDER if (path := directory / f"{name}.json").exists()
    }
    if not reports:
        sys.exit(f"no figures in {directory}")
    figures = {
        name: {figure["name"]: figure for figure in report["figures"]} for name, report in reports.items()
    }
    return figures, max(reports.values(), key=lambda report: report["foreign_processors"])


def spread(figure: dict[str, Any]) -> list[list[float]]:
    return [[figure["value"] - figure["low"]], [figure["high"] - figure["value"]]]


# -- the panels -----------------------------------------------------------------------------------------------


def draw_targets(axes: Any, figures: Figures) -> None:
    """Draw each target as how far it is met: right of the line it is."""
    promised = [
        (f"{benchmark}: {name}", figure)
        for benchmark, named in figures.items()
        for name, figure in named.items()
        if figure["met"] is not None and (figure["at_least"] or figure["at_most"])
    ]
    for place, (_, figure) in enumerate(promised):
        least, most = figure["at_least"], figure["at_most"]
        low, value, high = (
            figure[key] / least if least else most / max(figure[key], most / 1000)
            for key in ("low", "value", "high")
        )
        colour, marker = (GOOD, "o") if figure["met"] else (BAD, "D")
        axes.plot([low, high], [place, place], color=colour, linewidth=4, alpha=0.35, solid_capstyle="round")
        axes.plot([value], [place], marker, color=colour, markersize=8)
        target = f"≥ {least:g}" if least else f"≤ {most:g}"
        unit = "" if figure["unit"] == "x" else f" {figure['unit']}"
        axes.annotate(
            f"{shown(figure['value'])}{unit}  ({target})",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=colour,
        )
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(promised)), [label for label, _ in promised])
    axes.invert_yaxis()
    axes.set_title("Targets: right of the line is met; median, and lowest to highest round")
    axes.set_xlabel("times as good as the target")


def taking_part(figures: Figures, what: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the name, the label and a figure of each contestant that was there, quickest first."""
    there = [
        (name, label, figure)
        for name, (benchmark, label) in CONTESTANTS.items()
        if (figure := figures.get(benchmark, {}).get(f"{name}: {what}")) is not None
    ]
    return sorted(there, key=lambda row: -row[2]["value"])


def draw_rates(axes: Any, figures: Figures) -> None:
    """Draw errands per second, with many under way."""
    rows = taking_part(figures, MANY)
    for place, (name, _, figure) in enumerate(rows):
        axes.barh(
            place,
            figure["value"],
            xerr=spread(figure),
            color=OTHERS if name in FOREIGN else OURS,
            ecolor="#222222",
            capsize=3,
        )
        axes.annotate(
            f"{figure['value']:,.0f}",
            (figure["high"], place),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_xscale("log")
    axes.set_xlim(right=max((row[2]["high"] for row in rows), default=1) * 3)
    axes.set_yticks(range(len(rows)), [label for _, label, _ in rows])
    axes.invert_yaxis()
    axes.set_title("Errands per second, 100 under way (blue: ours)")


def draw_times(axes: Any, figures: Figures) -> None:
    """Draw how long one errand takes, from the middle one to the slowest but one in a hundred."""
    rows = list(reversed(taking_part(figures, "alone, p50")))
    for place, (name, _, _) in enumerate(rows):
        colour = OTHERS if name in FOREIGN else OURS
        named = figures[CONTESTANTS[name][0]]
        for kind, shift, marker in (("alone", -0.17, "o"), (MANY, 0.17, "s")):
            p50, p99 = (named[f"{name}: {kind}, {part}"]["value"] for part in ("p50", "p99"))
            axes.plot([p50, p99], [place + shift] * 2, color=colour, linewidth=3, alpha=0.5)
            axes.plot([p50], [place + shift], marker, color=colour, markersize=7)
            axes.plot([p99], [place + shift], "|", color=colour, markersize=11, markeredgewidth=2)
    for marker, label in (("o", "one after another"), ("s", MANY)):
        axes.plot([], [], marker, color=GREY, label=label)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [label for _, label, _ in rows])
    axes.invert_yaxis()
    axes.legend(loc="upper right", frameon=False)
    axes.set_title("Round trip, p50 to p99, in milliseconds")


def draw_boards(axes: Any, figures: Figures) -> None:
    """Draw what a job costs by the number of jobs that are there already."""
    boards = figures.get("boards", {})
    for kind, colour, style in (("finished", OURS, "o-"), ("pending", BAD, "s--")):
        sizes = {
            int(found[1].replace(",", "")): figure
            for name, figure in boards.items()
            if (found := re.fullmatch(rf"([\d,]+) {kind} jobs", name))
        }
        places = sorted(sizes)
        values = [sizes[place]["value"] for place in places]
        below = [sizes[place]["value"] - sizes[place]["low"] for place in places]
        above = [sizes[place]["high"] - sizes[place]["value"] for place in places]
        axes.errorbar(
            places, values, [below, above], fmt=style, color=colour, capsize=3, label=f"{kind} jobs"
        )
    empty = [figure["value"] for name, figure in boards.items() if name.startswith("empty boards")]
    if empty:
        axes.axhline(min(empty), color=GREY, linewidth=1, linestyle=":", label="empty boards")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("jobs on each board")
    axes.set_title("Processor time of a job, microseconds, as boards grow")
    axes.legend(loc="lower left", frameon=False)


PANELS: Iterable[tuple[str, Callable[[Any, Figures], None]]] = (
    ("rates", draw_rates),
    ("times", draw_times),
    ("targets", draw_targets),
    ("boards", draw_boards),
)


def main(directory: str, picture: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.exit("matplotlib is needed: install it, or read the tables")
    figures, report = read(Path(directory))
    figure = Figure(figsize=(16, 13), layout="constrained")
    places = figure.subplot_mosaic(
        [["rates", "times"], ["targets", "targets"], ["boards", "boards"]], height_ratios=[4, 6, 3]
    )
    for name, draw in PANELS:
        draw(places[name], figures)
        places[name].spines[["top", "right"]].set_visible(False)
        places[name].grid(axis="x" if name != "boards" else "y", color="#dddddd", linewidth=0.8)
        places[name].set_axisbelow(True)
        places[name].xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    machine = report["machine"]
    noise = report["foreign_processors"]
    figure.suptitle(
        f"Python {machine['python']}, {machine['processors']} processors ({machine['processor']}), "
        f"at most {noise:.1f} of them busy with other work",
        fontsize=10,
        color=GREY,
    )
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
