"""How commands print: foreign text made harmless, tables, JSON. Imports nothing of ours, so that commands start quickly."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

MAX_CELL_CHARACTERS: Final = 120


def harmless(text: str, longest: int | None = None) -> str:
    """Return text that cannot move a cursor or begin a line, cut if it is too long."""
    shown = text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"  # closed: None
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def say(text: str, *, err: bool = False) -> None:
    """Print one line."""
    click.echo(harmless(text), err=err)


def warn(text: str) -> None:
    """Print one line of warning to standard error."""
    click.echo(f"{click.style('Warning:', fg='yellow')} {harmless(text)}", err=True)


def print_json(value: Any) -> None:
    """Print data for programs; everything but ASCII is escaped."""
    click.echo(json.dumps(value, indent=2))


def print_line_json(value: Any) -> None:
    """Print data for programs that read line by line."""
    click.echo(json.dumps(value))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in aligned columns."""
    cells = [
        [harmless("" if cell is None else str(cell), MAX_CELL_CHARACTERS) for cell in row] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    for number, row in enumerate([list(headers), *cells]):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.secho(line, bold=True if number == 0 else None)


def duration(seconds: float) -> str:
    """Return a length of time for people: `3d 4h`, `5m 3s`, `12s`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
