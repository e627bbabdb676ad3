"""When a connection is to be kept alive, and when it is given up: the rules, without a clock and without a task.

A side that hears a `KEEPALIVE` answers with one after a while; the side that dialled sends the first. A connection is given
up when nothing was heard for `watchdog_seconds` though it was listened to, or when the peer has taken nothing of what is
being sent for as long. Bytes that move are life: a large message on a slow connection counts while it arrives. Source: the
protocol page *wire*, section 5.
"""

from __future__ import annotations

import math
from typing import Protocol

import attrs


class Movement(Protocol):
    """What a connection's stream tells of the bytes on it; times are seconds of the run's clock."""

    @property
    def is_held(self) -> bool:
        """Whether nothing is read, since what was read has not been taken."""

    @property
    def progress_at(self) -> float:
        """When bytes last arrived."""

    @property
    def sending_since(self) -> float:
        """When the peer last took bytes of what is being sent; infinite while nothing is."""


@attrs.frozen
class Lost:
    """The connection is given up.

    Attributes:
        reason: Why, in one sentence.
    """

    reason: str


@attrs.frozen
class AnswerDue:
    """A `KEEPALIVE` is to be sent."""


@attrs.define(eq=False)
class Keepalive:
    """What is due on one connection, and when.

    Attributes:
        answer_seconds: How long a `KEEPALIVE` waits for its answer.
        watchdog_seconds: How long a connection may be still.
        last_heard: When the last complete message came.
        listening_since: When reading was taken up again, after it had stopped because nobody took what came.
        answer_due: When the next `KEEPALIVE` is to be sent.
    """

    answer_seconds: float
    watchdog_seconds: float
    last_heard: float = attrs.field(kw_only=True)
    listening_since: float = attrs.field(default=-math.inf, init=False)
    answer_due: float = attrs.field(default=math.inf, init=False)

    def read_on(self, now: float) -> None:
        """Record that reading is taken up again: silence counts from here."""
        self.listening_since = now

    def schedule_answer(self, now: float) -> float | None:
        """Record that a `KEEPALIVE` came, and return when to answer; None if an answer is scheduled already."""
        if self.answer_due != math.inf:
            return None
        self.answer_due = now + self.answer_seconds
        return self.answer_due

    def next_due(self, now: float, stream: Movement) -> float:
        """Return when to look again, if nothing happens until then."""
        return min(
            now + self.watchdog_seconds, self._silent_at(stream), self._stuck_at(stream), self.answer_due
        )

    def due(self, now: float, stream: Movement) -> Lost | AnswerDue | None:
        """Return what is due now. An answer that is returned is no longer scheduled."""
        if self._silent_at(stream) <= now:
            return Lost(f"nothing was heard for {self.watchdog_seconds:g} s")
        if self._stuck_at(stream) <= now:
            return Lost(f"the peer took nothing for {self.watchdog_seconds:g} s")
        if self.answer_due <= now:
            self.answer_due = math.inf
            return AnswerDue()
        return None

    def _silent_at(self, stream: Movement) -> float:
        if stream.is_held:
            return math.inf
        return max(self.last_heard, self.listening_since, stream.progress_at) + self.watchdog_seconds

    def _stuck_at(self, stream: Movement) -> float:
        return stream.sending_since + self.watchdog_seconds
