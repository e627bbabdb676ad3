"""Refusals are always counted and sometimes logged: refused traffic must not fill the disk."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

QUIET_SECONDS: Final = 30.0
"""After a log line about a reason, further lines about it are left out for this long."""


@attrs.define(eq=False)
class Refusals:
    """Counts by reason, and a log with at most one line per reason in `QUIET_SECONDS`.

    Attributes:
        logger: Where the lines go.
        clock: Returns seconds that never go back.
    """

    logger: logging.Logger
    clock: Callable[[], float]
    _counts: Counter[str] = attrs.field(factory=Counter, init=False)
    _logged: dict[str, tuple[float, int]] = attrs.field(factory=dict, init=False)

    def note(self, reason: str, message: str, *arguments: object) -> None:
        """Count a refusal and perhaps log it.

        Args:
            reason: One of a fixed set of short words.
            message: A %-style message.
            *arguments: Its arguments; foreign text among them must already be quoted and cut.
        """
        self._counts[reason] += 1
        now = self.clock()
        last, left_out = self._logged.get(reason, (-QUIET_SECONDS, 0))
        if now - last < QUIET_SECONDS:
            self._logged[reason] = (last, left_out + 1)
            return
        self._logged[reason] = (now, 0)
        if left_out:
            message += " (and %d more for the same reason, not logged)"
            arguments = (*arguments, left_out)
        self.logger.warning(message, *arguments)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many refusals there were, by reason."""
        return MappingProxyType(dict(self._counts))
