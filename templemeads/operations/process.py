"""The process that an agent runs in: its figures, for health and metrics, and how its memory is looked after."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

_STATM: Final = Path("/proc/self/statm")

THRESHOLDS: Final = (5_000, 5, 400)
"""How rarely an agent's process looks for cycles (``gc.set_threshold``).

A job makes some hundred objects in passing and leaves some ten on a board for minutes, none of them in a cycle. Looking at
them as often as Python does by itself took a tenth of an agent's time, and each look at a whole board made jobs wait for up
to a tenth of a second. Cycles come from exceptions and connections, which are few. The first two numbers decide how many
young objects are looked at in one go, and so for how long everything else waits: some 8 ms under full load.
"""


@contextmanager
def patient_collector() -> Iterator[None]:
    """Let Python look for cycles less often while the block lasts, unless it does as rarely, or never, already.

    For whoever owns the process (`templemeads.run_agent` does it), not for libraries.
    """
    before = gc.get_threshold()
    if before[0] == 0 or before[0] >= THRESHOLDS[0]:
        yield
        return
    gc.collect()
    gc.freeze()  # modules and classes: they stay for as long as the process
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@attrs.frozen
class ProcessFigures:
    """Figures of a process.

    Attributes:
        memory_bytes: Resident memory.
        cpu_percent: Share of one processor that it has used since the last look; above 100 on several.
        system_memory_total: Memory of the machine in bytes.
        system_cpus: Logical processors of the machine.

    """

    memory_bytes: int
    cpu_percent: float
    system_memory_total: int
    system_cpus: int


@attrs.define(eq=False)
class ProcessMeter:
    """Takes the figures of this process; remembers the last look, since a share of time needs two."""

    _looked: float | None = attrs.field(default=None, init=False)
    _used: float = attrs.field(default=0.0, init=False)
    _percent: float = attrs.field(default=0.0, init=False)

    def read(self, now: float) -> ProcessFigures:
        """Return the figures.

        Args:
            now: Seconds on any clock that does not go back.

        """
        times = os.times()
        used = times.user + times.system
        if self._looked is None or now - self._looked >= 1:
            if self._looked is not None:
                self._percent = round(100 * (used - self._used) / (now - self._looked), 2)
            self._looked, self._used = now, used
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return ProcessFigures(_resident(), max(0.0, self._percent), pages, os.cpu_count() or 1)


def _resident() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        # Elsewhere than on Linux only the largest value so far can be had, in bytes or in KiB.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
