"""Where boards are kept: the seam between the exchange and a memory that outlives the process.

The exchange decides, the store keeps, and only then is anybody told. `BoardStore.write` hands over a unit of changes and
returns at once with a *ticket*; whatever would tell the world of these changes first waits until the store has kept them.
So writers never wait for the disk, many units share one commit, and what was told is never lost.

Source: the protocol page *jobs*, section 4.6.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import attrs

from ..jobs.outcome import Erase, Write


class BoardStore(Protocol):
    """Keeps the jobs of all boards of one agent."""

    async def load(self) -> Sequence[Write]:
        """Return everything that is kept.

        Raises:
            StoreError: It cannot be read.

        """

    def write(self, changes: Sequence[Write | Erase]) -> int:
        """Take over changes, to be kept all or none; return their ticket, higher than any before.

        Raises:
            StoreError: The store has failed before, and takes no more.

        """

    def is_kept(self, ticket: int) -> bool:
        """Whether the changes with this ticket, and all before them, are kept."""

    async def wait_kept(self, ticket: int) -> None:
        """Wait until the changes with this ticket, and all before them, are kept. Cancelled, it loses nothing.

        Raises:
            StoreError: They never will be.

        """

    def statistics(self) -> StoreStatistics:
        """Return figures for operators."""


@attrs.frozen
class StoreStatistics:
    """Figures of a store.

    Attributes:
        waiting: Changes that are not kept yet.
        commits: Commits since the start.
        changes: Changes kept since the start.
        seconds: Time spent in commits since the start.

    """

    waiting: int = 0
    commits: int = 0
    changes: int = 0
    seconds: float = 0.0


class MemoryStore:
    """Keeps nothing beyond the process: the boards themselves are the memory."""

    def __init__(self) -> None:
        self._ticket = 0

    async def load(self) -> Sequence[Write]:
        """Return nothing: a new process starts with empty boards."""
        return ()

    def write(self, changes: Sequence[Write | Erase]) -> int:
        """Take note."""
        self._ticket += len(changes)
        return self._ticket

    def is_kept(self, ticket: int) -> bool:
        """Return True: there is nothing to wait for."""
        return True

    async def wait_kept(self, ticket: int) -> None:
        """Return at once."""

    def statistics(self) -> StoreStatistics:
        """Return figures for operators."""
        return StoreStatistics(changes=self._ticket)


class OpenStore(Protocol):
    """Opens the store of an agent for as long as a ``with`` block lasts."""

    def __call__(self, agent: str) -> AbstractAsyncContextManager[BoardStore]:
        """Open the store of the agent with this name.

        Raises:
            StoreError: It is in use, or belongs to another agent, or cannot be read.

        """


@asynccontextmanager
async def open_memory_store(agent: str) -> AsyncIterator[BoardStore]:  # noqa: ARG001 - one signature for every store
    """Open a store that keeps nothing."""
    yield MemoryStore()
