"""Boards in memory alone: they end with the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import trio

from paddington import Peer

from ..jobs.outcome import Erase, Write
from .rows import Key, ends_starts, key_of
from .store import BoardStore, StoreStatistics


class MemoryStore:
    """Commits nothing: the boards themselves are the memory."""

    def __init__(self) -> None:
        self._ticket = 0
        self._starts: dict[Key, int] = {}

    async def load(self) -> Sequence[Write]:
        """Return nothing: a new process starts with empty boards."""
        return ()

    def write(self, changes: Sequence[Write | Erase]) -> int:
        """Count the changes."""
        self._ticket += len(changes)
        if self._starts:
            for change in changes:
                if ends_starts(change):
                    self._starts.pop(key_of(change), None)
        return self._ticket

    def is_committed(self, ticket: int) -> bool:
        """Return True: there is nothing to wait for."""
        return True

    async def wait_committed(self, ticket: int) -> None:
        """Return at once."""

    async def count_start(self, peer: Peer, job_id: UUID) -> int:
        """Count one more call of a job's handler (`BoardStore.count_start`)."""
        key = (peer.name, peer.zone, job_id.bytes)
        self._starts[key] = count = self._starts.get(key, 0) + 1
        await trio.lowlevel.checkpoint()
        return count

    def starts(self, peer: Peer, job_id: UUID) -> int:
        """Return the count (`BoardStore.starts`)."""
        return self._starts.get((peer.name, peer.zone, job_id.bytes), 0)

    def clear_starts(self, peer: Peer, job_id: UUID) -> None:
        """Forget the count (`BoardStore.clear_starts`)."""
        self._starts.pop((peer.name, peer.zone, job_id.bytes), None)

    def statistics(self) -> StoreStatistics:
        """Return figures for operators."""
        return StoreStatistics(changes=self._ticket)


@asynccontextmanager
async def open_memory_store(agent: str) -> AsyncIterator[BoardStore]:  # noqa: ARG001 - one signature for every store
    """Open a store that ends with the process."""
    yield MemoryStore()
