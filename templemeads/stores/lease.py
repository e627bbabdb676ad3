"""Who of several processes with one store may lead: decisions only, with the time passed in.

The database holds one `LeaseRow` for each agent. The leader writes to it with every commit, and makes an empty commit when
it has nothing else to write, so a row that does not change means a leader that does not work. Each claim raises the fence,
and a commit with an older fence is refused by the database. So a clock that jumps, or a process that sleeps through its
lease, can cost a change of leaders, and never two leaders that both commit.
"""

from __future__ import annotations

import os
import socket
from enum import Enum, auto
from typing import Final

import attrs

RENEWALS_PER_LEASE: Final = 3
"""Commits that an idle leader makes in the time of its lease, so that one late commit costs nothing."""


def process_label() -> str:
    """Return what a leader is called: its host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


@attrs.frozen
class LeaseRow:
    """What the database knows of the leader.

    Attributes:
        commits: Number of the last commit.
        fence: Raised by each claim; every commit carries it.
        leader: Host and process id of the leader, or None if it stopped in order or there was none yet.
        seconds: How long the leader may be silent before another process takes over; None if it makes no such promise.
    """

    commits: int = 0
    fence: int = 0
    leader: str | None = None
    seconds: float | None = None

    def committed(self, number: int, fence: int) -> LeaseRow | None:
        """Return the row after a commit, or None if the commit is refused."""
        if fence != self.fence or number != self.commits + 1:
            return None
        return attrs.evolve(self, commits=number)

    def claimed(self, seen: LeaseRow, leader: str, seconds: float | None) -> LeaseRow | None:
        """Return the row after a claim by a process that has seen the row, or None if it has changed since."""
        if (seen.fence, seen.commits) != (self.fence, self.commits):
            return None
        return LeaseRow(self.commits, self.fence + 1, leader, seconds)


class Verdict(Enum):
    """What a waiting process does next."""

    WAIT = auto()
    CLAIM = auto()
    EVICT = auto()
    """End the leader's session, which holds the lock; then look again."""


@attrs.define
class LeaseWatch:
    """What one waiting process has seen of the leader, by its own monotonic clock.

    Attributes:
        seconds: Its own lease, for a leader that made no promise.
    """

    seconds: float
    _seen: LeaseRow | None = attrs.field(default=None, init=False)
    _since: float = attrs.field(default=0.0, init=False)
    _looked: float = attrs.field(default=0.0, init=False)
    _was_held: bool = attrs.field(default=False, init=False)

    def restart(self) -> None:
        """Forget everything: our connection was lost, and perhaps the leader's with it."""
        self._seen, self._was_held = None, False

    def saw(self, row: LeaseRow, now: float, *, is_free: bool) -> Verdict:
        """Decide after a look at the database.

        Args:
            row: The row.
            now: Seconds on our monotonic clock.
            is_free: Whether the lock that a leader's session holds was free, so that we hold it now.
        """
        lease = self.seconds if row.seconds is None else row.seconds
        if row != self._seen or not 0 <= now - self._looked < lease / 2:
            # After a gap we cannot know whether the leader was silent, or we (or the database) were asleep.
            self._seen, self._since = row, now
        self._looked = now
        is_silent = now - self._since >= lease
        if is_free:
            # A lock that was held while we waited, and is free now, is the end of the leader's session.
            return Verdict.CLAIM if row.leader is None or self._was_held or is_silent else Verdict.WAIT
        self._was_held = True
        return Verdict.EVICT if is_silent and row.seconds is not None else Verdict.WAIT
