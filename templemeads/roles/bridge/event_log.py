"""What happened lately, numbered, for clients that follow and for those that come back.

A client that was away names the last number that it saw and is sent what came after it. When that is too long ago it is
told to start over: to ask for the lists again, and to follow from then on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import attrs

MAX_EVENTS: Final = 10_000
"""Events that are remembered for clients that come back."""

RESET: Final = "reset"
"""The kind of event that tells a client to start over."""


@attrs.frozen
class LoggedEvent:
    """Something that happened.

    Attributes:
        number: Counts up from 1 within one life of the bridge.
        kind: `job`, `inbox-job` or `notification`.
        data: A JSON object.
    """

    number: int
    kind: str
    data: Mapping[str, Any]


@attrs.define(eq=False)
class EventLog:
    """The latest events.

    Attributes:
        life: Names the life of the bridge, so that a number of an earlier life is not taken for one of this.
        max_events: How many are remembered.
    """

    life: str
    max_events: int = MAX_EVENTS
    _events: deque[LoggedEvent] = attrs.field(factory=deque, init=False)
    _number: int = attrs.field(default=0, init=False)

    @property
    def last(self) -> int:
        """The number of the newest event, 0 if there was none."""
        return self._number

    def add(self, kind: str, data: Mapping[str, Any]) -> LoggedEvent:
        """Add an event."""
        self._number += 1
        event = LoggedEvent(self._number, kind, data)
        self._events.append(event)
        if len(self._events) > self.max_events:
            self._events.popleft()
        return event

    def since(self, number: int) -> tuple[LoggedEvent, ...] | None:
        """Return the events after a number, oldest first, or None if some of them are no longer remembered."""
        if number > self._number or (self._events and number < self._events[0].number - 1):
            return None
        if number == self._number:
            return ()
        return tuple(event for event in self._events if event.number > number)

    def name_of(self, number: int) -> str:
        """Return the id of an event, as clients see it."""
        return f"{self.life}-{number}"

    def number_of(self, name: str) -> int | None:
        """Return the number of an event of this life by its id, or None if it is another's."""
        life, dash, digits = name.rpartition("-")
        if not dash or life != self.life or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
            return None
        return int(digits)
