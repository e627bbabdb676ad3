"""Pauses between attempts that grow, so that a peer that is away is not hammered. Pure."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from .limits import Limits


@attrs.define(eq=False)
class Backoff:
    """The pauses of one dialler.

    Attributes:
        limits: `dial_first_seconds`, `dial_factor`, `dial_longest_seconds` and `dial_jitter` of the service.
        random: Returns a number from 0 to 1, evenly.
    """

    limits: Limits
    random: Callable[[], float]
    _next: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reset()

    def pause(self) -> float:
        """Return the seconds to wait now; the next pause is longer, up to the longest.

        The part `dial_jitter` of it is random, so that a hundred peers of a server that restarts do not call it at the
        same instant.
        """
        full = self._next
        self._next = min(full * self.limits.dial_factor, self.limits.dial_longest_seconds)
        return full * (1 - self.limits.dial_jitter * self.random())

    def reset(self) -> None:
        """Start again with the first pause."""
        self._next = self.limits.dial_first_seconds
