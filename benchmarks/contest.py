"""The same errand by different means, in turns: each round gives every contestant a turn, one after another.

A contestant is a worker (`workers`) that asks, with whatever answers it: all that a turn needs. Within its turn
it warms up, then keeps 100 errands under way, then one after another. While others have theirs it is frozen.

A contestant's script serves orders with `serve_trio`, `serve_asyncio` or `serve_window`, and counts with `Log`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import trio
from harness import Report, quantile
from workers import Worker, next_order, open_worker, reply

MANY = 100
"""Errands under way at once, in the greater part of a turn."""

WARM_UP = 0.2
"""The part of a turn's time that goes before, uncounted."""


@dataclass(frozen=True)
class Contestant:
    """Who takes part.

    Attributes:
        script: What runs as its worker.
        arguments: What that is told.
        modules: What must be importable for it.
        programs: What must be installed for it.
    """

    script: str
    arguments: tuple[str | Path, ...] = ()
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        absent = [module for module in self.modules if importlib.util.find_spec(module) is None]
        return absent + [program for program in self.programs if shutil.which(program) is None]


@dataclass(frozen=True)
class Burst:
    """What came of keeping so many errands under way for so long.

    Attributes:
        rate: Errands per second.
        p50: Seconds that the middle one took.
        p99: Seconds within which 99 of 100 were done.
        errands: How many there were.
        collecting: Part of the time that Python's garbage collector took on the asking side.
        pause: Seconds of its longest run.
        processor: Seconds of processor time for one, of all processes that took part.
    """

    rate: float
    p50: float
    p99: float
    errands: int
    collecting: float
    pause: float
    processor: float = 0.0


@dataclass(frozen=True)
class Turn:
    """One turn of a contestant: with many errands under way, and with one."""

    many: Burst
    alone: Burst


# -- the contest ----------------------------------------------------------------------------------------------


def compete(contestants: Mapping[str, Contestant], *, rounds: int, seconds: float) -> dict[str, list[Turn]]:
    """Let everyone have a turn in each round; give everyone's turns."""
    turns: dict[str, list[Turn]] = {name: [] for name in contestants}
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name, contestant in contestants.items():
            workers[name] = stack.enter_context(open_worker(contestant.script, *contestant.arguments))
            workers[name].freeze()
        for number in range(rounds + 1):
            for name, worker in workers.items():
                worker.thaw()
                # The first round lets boards, caches and code grow as large as they will be.
                turn = take_turn(worker, seconds / 2 if not number else seconds)
                worker.freeze()
                if number:
                    turns[name].append(turn)
    return turns


def take_turn(worker: Worker, seconds: float) -> Turn:
    burst(worker, MANY, seconds * WARM_UP)
    return Turn(burst(worker, MANY, seconds), burst(worker, 1, seconds / 2))


def burst(worker: Worker, in_flight: int, seconds: float) -> Burst:
    before = worker.processor_seconds()
    answer = worker.ask("burst", in_flight=in_flight, seconds=seconds)
    used = worker.processor_seconds() - before
    return Burst(**answer, processor=used / answer["errands"])


def add_turns(report: Report, name: str, turns: Sequence[Turn]) -> None:
    """Add what a contestant did to a report."""
    report.add(f"{name}: {MANY} under way", [turn.many.rate for turn in turns], "/s")
    report.add(f"{name}: {MANY} under way, p50", [turn.many.p50 * 1e3 for turn in turns], "ms")
    report.add(f"{name}: {MANY} under way, p99", [turn.many.p99 * 1e3 for turn in turns], "ms")
    report.add(f"{name}: alone", [turn.alone.rate for turn in turns], "/s")
    report.add(f"{name}: alone, p50", [turn.alone.p50 * 1e3 for turn in turns], "ms")
    report.add(f"{name}: alone, p99", [turn.alone.p99 * 1e3 for turn in turns], "ms")
    report.add(f"{name}: processor time, all sides", [turn.many.processor * 1e6 for turn in turns], "us")


def add_collecting(report: Report, name: str, turns: Sequence[Turn]) -> None:
    """Add what Python's garbage collector took."""
    report.add(f"{name}: garbage collection", [turn.many.collecting * 100 for turn in turns], "%")
    report.add(f"{name}: longest collection", [turn.many.pause * 1e3 for turn in turns], "ms")


def rates(turns: Sequence[Turn]) -> list[float]:
    return [turn.many.rate for turn in turns]


def medians(turns: Sequence[Turn]) -> list[float]:
    return [turn.alone.p50 for turn in turns]


# -- a contestant's own side ----------------------------------------------------------------------------------


@dataclass
class Log:
    """What happens in a burst: how long each errand took, and what the garbage collector did meanwhile."""

    seconds: float
    taken: list[float] = field(default_factory=list)
    collections: list[float] = field(default_factory=list)
    begun: float = 0.0
    ended: float = 0.0
    _collecting: float = 0.0

    def __enter__(self) -> Self:
        gc.callbacks.append(self._watch)
        self.begun = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = time.perf_counter()
        gc.callbacks.remove(self._watch)

    def _watch(self, phase: str, _: Mapping[str, int]) -> None:
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self.collections.append(time.perf_counter() - self._collecting)

    def goes_on(self) -> bool:
        """Whether there is time for another errand."""
        return time.perf_counter() < self.begun + self.seconds

    def note(self, begun: float) -> None:
        """Note an errand that has just come back."""
        self.taken.append(time.perf_counter() - begun)

    def sums(self) -> dict[str, float]:
        """Return the fields of a `Burst`."""
        elapsed = self.ended - self.begun
        return {
            "rate": len(self.taken) / elapsed,
            "p50": quantile(self.taken, 0.5),
            "p99": quantile(self.taken, 0.99),
            "errands": len(self.taken),
            "collecting": sum(self.collections) / elapsed,
            "pause": max(self.collections, default=0.0),
        }


async def serve_trio(run: Callable[[Log, int], Awaitable[None]]) -> None:
    """Take orders in a program on trio; `run` keeps so many errands under way while the log goes on."""
    reply()
    while (order := await trio.to_thread.run_sync(next_order)) is not None:
        with Log(order["seconds"]) as log:
            await run(log, order["in_flight"])
        reply(**log.sums())


async def keep_asking_trio(log: Log, in_flight: int, ask: Callable[[], Awaitable[object]]) -> None:
    """Let so many tasks ask, one errand after another."""

    async def one_after_another() -> None:
        while log.goes_on():
            begun = time.perf_counter()
            await ask()
            log.note(begun)

    async with trio.open_nursery() as nursery:
        for _ in range(in_flight):
            nursery.start_soon(one_after_another)


async def serve_asyncio(ask: Callable[[], Awaitable[object]]) -> None:
    """Take orders in a program on asyncio; `ask` does one errand."""
    reply()
    while (order := await asyncio.to_thread(next_order)) is not None:
        with Log(order["seconds"]) as log:

            async def one_after_another(log: Log = log) -> None:
                while log.goes_on():
                    begun = time.perf_counter()
                    await ask()
                    log.note(begun)

            await asyncio.gather(*(one_after_another() for _ in range(order["in_flight"])))
        reply(**log.sums())


def serve_window(send: Callable[[], Any], wait: Callable[[Any], object]) -> None:
    """Take orders in a program without an event loop: the oldest errand is waited for, and another one sent."""
    reply()
    while (order := next_order()) is not None:
        with Log(order["seconds"]) as log:
            under_way: deque[tuple[float, Any]] = deque()
            while log.goes_on():
                while len(under_way) < order["in_flight"]:
                    under_way.append((time.perf_counter(), send()))
                begun, sent = under_way.popleft()
                wait(sent)
                log.note(begun)
            for begun, sent in under_way:
                wait(sent)
                log.note(begun)
        reply(**log.sums())
