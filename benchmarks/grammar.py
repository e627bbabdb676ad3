"""What reading costs: beside plain Python, beside the size of the table, and for very long texts.

Run it with ``python benchmarks/grammar.py``. All figures come from one run on one machine, so compare them
with each other and not with figures from elsewhere. With ``--check`` it ends with status 1 where a promise is
broken:

1. Reading an instruction costs less than 5 times what it takes to split the same text into its words and
parts and to
   put them into dataclasses of the same shape, without checking anything.
2. It costs no more for the last instruction of the table than for the first.
3. A text that is four times as long takes about four times as long, whatever it holds, and is read or
refused.
"""

from __future__ import annotations

import argparse
import sys
import time
import timeit
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from templemeads.errors import ParseError
from templemeads.grammar import Instruction, instructions
from templemeads.grammar.explain import example
from templemeads.grammar.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_TIMES_PLAIN = 5
MOST_GROWTH = 8  # quadratic would be 16
WORTH_COMPARING = 0.02  # seconds; below, the clock is too coarse
MEGABYTE = 1_000_000


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


def microseconds(*calls: Callable[[], object], rounds: int = 20) -> list[float]:
    """Give the time of one call of each, the best of several rounds in which they take turns."""
    timers = [timeit.Timer(call) for call in calls]
    best = [float("inf")] * len(timers)
    for _ in range(rounds):
        for index, timer in enumerate(timers):
            best[index] = min(best[index], timer.timeit(2000) / 2000 * 1e6)
    return best


def beside_plain() -> float:
    """Compare reading with splitting; give the worst factor."""
    print(f"{'instruction':56} {'plain':>9} {'read':>9}  times")
    worst = 0.0
    for text, plain in TYPICAL:
        baseline, read = microseconds(lambda: plain(text), lambda: Instruction.parse(text))  # noqa: B023
        worst = max(worst, read / baseline)
        print(f"{text:56} {baseline:6.2f} us {read:6.2f} us  {read / baseline:.1f}")
    return worst


def beside_the_table() -> float:
    """Compare instructions of the same shape by their place in the table; give latest over earliest."""
    rows = [row for row in instructions() if [each.name for each in row.parameters] == ["user"]]
    first, last = rows[0], rows[-1]
    texts = [example(row) for row in (first, last)]
    times = microseconds(*(partial(Instruction.parse, text) for text in texts))
    print(
        f"\n{len(instructions())} instructions: {first.keyword} {times[0]:.2f} us, {last.keyword} {times[1]:.2f} us"
    )
    return times[1] / times[0]


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
    """Give the processor's time in seconds, the best of two: other work on the machine does not count."""
    return min(timeit.repeat(lambda: read_or_refuse(kind, text), number=1, repeat=2, timer=time.process_time))


def for_long_texts(size: int) -> float:
    """Read long texts of every kind; give the worst growth from a quarter of the size to the whole."""
    print(f"\nthe slowest of {len(PREFIXES) * len(HOSTILE)} texts of {size:,} characters, for each kind")
    worst = 0.0
    for kind in KINDS:
        slowest, growth, culprit = 0.0, 0.0, ""
        for prefix in PREFIXES:
            for piece in HOSTILE:
                quarter, whole = (
                    processor_time(kind, (prefix + piece * (length // len(piece)))[:length])
                    for length in (size // 4, size)
                )
                if whole > slowest:
                    slowest, culprit = whole, prefix + piece
                if whole > WORTH_COMPARING:
                    growth = max(growth, whole / quarter)
        worst = max(worst, growth)
        shown = f"growth {growth:.1f}" if growth else "too quick for a growth"
        print(f"{kind:24} {slowest * 1e3:8.1f} ms  {shown:24} {culprit!r}")
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="end with status 1 where a promise is broken")
    parser.add_argument("--size", type=int, default=MEGABYTE, help="characters of the long texts")
    options = parser.parse_args()
    promises = {
        f"reading costs less than {MOST_TIMES_PLAIN} times splitting": beside_plain() < MOST_TIMES_PLAIN,
        "the place in the table does not matter": beside_the_table() < 1.5,
        "four times the length takes about four times the time": for_long_texts(options.size) < MOST_GROWTH,
    }
    print()
    for promise, kept in promises.items():
        print(f"{'kept' if kept else 'BROKEN':7} {promise}")
    return 1 if options.check and not all(promises.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
