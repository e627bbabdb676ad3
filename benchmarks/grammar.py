"""What reading instructions costs: beside plain Python, beside the size of the table, and for very long texts.

1. Reading an instruction costs less than 5 times what it takes to split the same text into its words and parts and
   to put them into dataclasses of the same shape, without checking anything.
2. It costs no more for the last instruction of the table than for the first.
3. A text that is four times as long takes about four times as long, whatever it holds, and is read or refused.
"""

from __future__ import annotations

import argparse
import time
import timeit
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from harness import Report, arguments, finish

from templemeads.errors import ParseError
from templemeads.grammar import Instruction, instructions
from templemeads.grammar.explain import example
from templemeads.grammar.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TIMES_PLAIN = 5
MAX_TIMES_FIRST = 1.5
MAX_GROWTH = 8
"""Times as long, for a text four times as long: quadratic would be 16."""

WORTH_COMPARING = 0.002
"""Seconds; what is quicker says nothing about growth."""

MEGABYTE = 1_000_000
CALLS = 2_000


@dataclass
class Plain1:
    a: Any


@dataclass
class Plain2:
    a: Any
    b: Any


@dataclass
class Plain3:
    a: Any
    b: Any
    c: Any


def plain_user(text: str) -> Plain3:
    return Plain3(*text.split("."))


def plain_project(text: str) -> Plain2:
    return Plain2(*text.split("."))


def plain_mapping(text: str) -> Plain3:
    user, local_user, local_group = text.split(":")
    return Plain3(plain_user(user), local_user, local_group)


def plain_add_user(text: str) -> Plain2:
    keyword, user = text.split()
    return Plain2(keyword, plain_user(user))


def plain_get_project(text: str) -> Plain2:
    keyword, project = text.split()
    return Plain2(keyword, plain_project(project))


def plain_add_local_user(text: str) -> Plain2:
    keyword, mapping = text.split()
    return Plain2(keyword, plain_mapping(mapping))


def plain_set_limit(text: str) -> Plain3:
    keyword, project, limit = text.split()
    return Plain3(keyword, plain_project(project), Plain1(int(limit)))


def plain_get_project_quota(text: str) -> Plain3:
    keyword, project, volume = text.split()
    return Plain3(keyword, plain_project(project), Plain1(volume))


def plain_get_usage_report(text: str) -> Plain3:
    keyword, project, dates = text.split()
    start, end = dates.split(":")
    days = Plain2(Plain3(*map(int, start.split("-"))), Plain3(*map(int, end.split("-"))))
    return Plain3(keyword, plain_project(project), days)


def plain_submit(text: str) -> Plain3:
    keyword, destination, instruction = text.split(" ", 2)
    return Plain3(keyword, Plain1(destination.split(".")), plain_add_user(instruction))


TYPICAL: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("add_user fred.proj.waldur", plain_add_user),
    ("get_project proj.waldur", plain_get_project),
    ("add_local_user fred.proj.waldur:fred:proj", plain_add_local_user),
    ("set_limit proj.waldur 7200", plain_set_limit),
    ("get_project_quota proj.waldur home", plain_get_project_quota),
    ("get_usage_report proj.waldur 2024-01-01:2024-01-31", plain_get_usage_report),
    ("submit waldur.brics.notebook add_user fred.proj.waldur", plain_submit),
)


def microseconds(*calls: Callable[[], object], rounds: int) -> list[list[float]]:
    """Return the processor time of one call of each, in rounds in which they take turns."""
    timers = [timeit.Timer(call, timer=time.process_time) for call in calls]
    turns = [[timer.timeit(CALLS) / CALLS * 1e6 for timer in timers] for _ in range(rounds)]
    return [list(times) for times in zip(*turns, strict=True)]


def beside_plain(report: Report, rounds: int) -> None:
    """Compare reading with splitting."""
    worst = [0.0]
    for text, plain in TYPICAL:
        splitting, reading = microseconds(
            partial(plain, text), partial(Instruction.parse, text), rounds=rounds
        )
        report.add(f"{text}: splitting", splitting, "us")
        report.add(f"{text}: reading", reading, "us")
        worst = max(worst, [a / b for a, b in zip(reading, splitting, strict=True)], key=median)
    report.add("reading / splitting, the worst of these", worst, "x", at_most=MAX_TIMES_PLAIN)


def beside_the_table(report: Report, rounds: int) -> None:
    """Compare instructions of the same shape by their place in the table."""
    rows = [row for row in instructions() if [each.name for each in row.parameters] == ["user"]]
    ends = rows[0], rows[-1]
    first, last = microseconds(*(partial(Instruction.parse, example(row)) for row in ends), rounds=rounds)
    report.ratio(
        f"the last of {len(instructions())} instructions / the first", last, first, at_most=MAX_TIMES_FIRST
    )


HOSTILE: tuple[str, ...] = (
    "a.",
    "a",
    "-",
    " ",
    "\u3000",
    "[",
    "{",
    "0",
    "1:",
    "@",
    '"',
    "\\",
    "é",
    "a b ",
    "*.",
    ",a.b",
)
PREFIXES: tuple[str, ...] = (
    "",
    "add_user ",
    "a.b ",
    "submit a.b ",
    "sync_offerings ",
    'create_project p.w {"name":"',
)


def read_or_refuse(kind: str, text: str) -> None:
    try:
        KINDS[kind](text, None)
    except ParseError as error:
        str(error)


def processor_time(kind: str, text: str) -> float:
    """Return the processor's time in seconds, the best of two: other work on the machine does not count."""
    return min(timeit.repeat(lambda: read_or_refuse(kind, text), number=1, repeat=2, timer=time.process_time))


def for_long_texts(report: Report, size: int) -> None:
    """Read long texts of every kind, and compare with a quarter of the length."""
    worst, growth = {}, []
    for kind in KINDS:
        times = []
        for text in (prefix + piece * (size // len(piece)) for prefix in PREFIXES for piece in HOSTILE):
            quarter, whole = (processor_time(kind, text[:length]) for length in (size // 4, size))
            times.append(whole)
            if whole > WORTH_COMPARING:
                growth.append(whole / quarter)
        worst[kind] = max(times)
    slowest = max(worst, key=lambda kind: worst[kind])
    report.add(
        f"the slowest of {len(PREFIXES) * len(HOSTILE)} texts of {size:,} characters, of all kinds",
        [worst[slowest] * 1e3],
        "ms",
    )
    if growth:
        report.add("growth with four times the length, the worst", [max(growth)], "x", at_most=MAX_GROWTH)
    report.note(f"the slowest kind of long texts is {slowest}; {len(growth)} took long enough to compare")


def main(options: argparse.Namespace) -> Report:
    report = Report("Reading instructions, processor time")
    beside_plain(report, options.rounds)
    beside_the_table(report, options.rounds)
    for_long_texts(report, options.size)
    return report


if __name__ == "__main__":
    parser = arguments(__doc__, size=4_000)
    parser.add_argument("--size", type=int, default=MEGABYTE, help="characters of the long texts")
    parser.set_defaults(rounds=20)
    chosen = parser.parse_args()
    finish(main(chosen), chosen)
