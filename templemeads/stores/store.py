"""The seam between the exchange and whatever outlives the process.

The exchange decides, the store commits, and only then is anybody told. `BoardStore.write` takes a unit of changes and
returns at once with a *ticket*; the code that would tell the world of these changes first waits until the store has
committed them. So the code that writes never waits for the disk, many units share one commit, and what was told is never
lost.

Source: the protocol page *jobs*, section 4.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol
from uuid import UUID

import attrs

from paddington import Peer

from ..jobs.outcome import Erase, Write

DEFAULT_PATIENCE_SECONDS: Final = 60.0
"""Seconds for which a commit is tried again after a failure that may pass, unless a setting says otherwise."""


class BoardStore(Protocol):
    """Holds the jobs of all boards of one agent."""

    async def load(self) -> Sequence[Write]:
        """Return all jobs and deleted jobs that were committed, oldest first.

        Raises:
            StoreError: They cannot be read.
        """

    def write(self, changes: Sequence[Write | Erase]) -> int:
        """Take changes, to be committed together; return their ticket, which is higher than any before.

        Raises:
            StoreError: A commit has failed before, so the store takes no more changes.
        """

    def is_committed(self, ticket: int) -> bool:
        """Whether the changes with this ticket, and all before them, are committed."""

    async def wait_committed(self, ticket: int) -> None:
        """Wait until the changes with this ticket, and all before them, are committed. It can be cancelled safely.

        Raises:
            StoreError: They never will be.
        """

    async def count_start(self, peer: Peer, job_id: UUID) -> int:
        """Count one more call of a job's handler; return the count when it is committed. Await it before the call.

        The count is forgotten with `clear_starts`, and when the job ends or is erased. So a count above 1 means that
        the process died, that many times less one, while the handler ran.

        Raises:
            StoreError: The count cannot be committed.
        """

    def starts(self, peer: Peer, job_id: UUID) -> int:
        """Return how many calls of a job's handler are counted."""

    def clear_starts(self, peer: Peer, job_id: UUID) -> None:
        """Forget the count, because the handler was left in good order (it was cancelled, or never called)."""

    def statistics(self) -> StoreStatistics:
        """Return figures for operators."""


@attrs.frozen
class StoreStatistics:
    """Figures of a store.

    Attributes:
        waiting: Changes that are not committed yet.
        commits: Commits since the start.
        changes: Changes committed since the start.
        seconds: Time spent in commits since the start.
        problem: Why commits have to wait at the moment, or None.
        fence: How often a process has begun to lead with this store, the present one included; None where that is not
            counted.
    """

    waiting: int = 0
    commits: int = 0
    changes: int = 0
    seconds: float = 0.0
    problem: str | None = None
    fence: int | None = None


class OpenStore(Protocol):
    """Opens the store of an agent for as long as a `with` block lasts."""

    def __call__(self, agent: str) -> AbstractAsyncContextManager[BoardStore]:
        """Open the store of the agent with this name.

        Raises:
            StoreError: It is in use, or belongs to another agent, or cannot be read.
        """
