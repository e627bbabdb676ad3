"""The system's clock as an agent reads it: noticing when somebody sets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import trio

MIN_STEP_SECONDS: Final = 1.0
"""A smaller difference between the two clocks is drift, which time daemons correct slowly."""


@attrs.define(eq=False)
class AgentClock:
    """Reads the system's clock, and compares it each time with the steady clock that trio uses.

    Attributes:
        system: Returns seconds since 1970 UTC.
        was_set: Called with the seconds by which the clock was set forward (below 0: backward), before the new time is
            used for anything. A machine that was suspended looks the same.

    """

    system: Callable[[], float]
    was_set: Callable[[float], object]
    _difference: float | None = attrs.field(default=None, init=False)

    def now(self) -> float:
        """Seconds since 1970 UTC on the system's clock."""
        now = self.system()
        try:
            difference = now - trio.current_time()
        except RuntimeError:
            return now  # a handler's thread; the clock is compared when the loop reads it next
        if self._difference is None:
            self._difference = difference
        elif abs(step := difference - self._difference) >= MIN_STEP_SECONDS:
            self._difference = difference
            self.was_set(step)
        return now
