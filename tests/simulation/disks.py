"""Disks that lose what was not synced, fail on demand, and can be set back: stores for simulated agents."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from uuid import UUID

import attrs
import trio

from paddington import Peer
from templemeads import Job, StoreError
from templemeads.jobs.outcome import Erase, Write
from templemeads.stores.store import BoardStore, StoreStatistics

from .wires import Bell

Kept = dict[tuple[Peer, UUID], tuple[str, bool]]


class Disk:
    """What one agent has on disk, through all its lives.

    Args:
        random: Draws how long a commit takes, and what a crash in its middle leaves.
        slowest: Seconds that a commit takes at most; 0 makes each commit take one checkpoint.
        on_kept: Called with each job that has reached the disk.
    """

    def __init__(self, random: Random, slowest: float, on_kept: Callable[[Write], None]) -> None:
        self._random = random
        self._slowest = slowest
        self._on_kept = on_kept
        self.kept: Kept = {}
        self.older: list[Kept] = []
        self.fails = False
        self._store: Store | None = None

    @asynccontextmanager
    async def open(
        self, agent: str, *, is_dead: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[BoardStore]:
        """Open the store of a new life (`templemeads.store.OpenStore`), which may be over before it has begun."""
        store = Store(self)
        if is_dead():
            store.crashed = True
        else:
            self._store = store
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.run)
                yield store
                nursery.cancel_scope.cancel()
        finally:
            store.close()

    def crash(self) -> None:
        """Lose what was not synced: nothing of this life reaches the disk any more."""
        if self._store is not None:
            self._store.crash()
            self._store = None

    def remember(self) -> None:
        """Keep a copy, for `set_back`."""
        self.older.append(dict(self.kept))

    def set_back(self, back: int) -> None:
        """Go back to an older copy, or to an empty disk."""
        copies = [{}, *self.older]
        self.kept = dict(copies[back % len(copies)])

    def commit(self, changes: Sequence[Write | Erase]) -> None:
        for change in changes:
            if isinstance(change, Write):
                self.kept[change.peer, change.job.id] = (change.job.canonical(), change.deleted)
                self._on_kept(change)
            else:
                self.kept.pop((change.peer, change.job_id), None)

    def load(self) -> list[Write]:
        return [
            Write(peer, Job.from_json(json.loads(text)), deleted=deleted)
            for (peer, _), (text, deleted) in self.kept.items()
        ]

    @property
    def has_failed(self) -> bool:
        """Whether a commit of this life has failed."""
        return self._store is not None and self._store.failure is not None

    def draw(self) -> float:
        return self._random.random() * self._slowest

    def is_lucky(self) -> bool:
        return self._random.random() < 0.5


@attrs.define(eq=False)
class Store:
    """One life of a store."""

    disk: Disk
    waiting: list[Write | Erase] = attrs.field(factory=list)
    under_way: list[Write | Erase] = attrs.field(factory=list)
    ticket: int = 0
    kept: int = 0
    crashed: bool = False
    failure: StoreError | None = None
    work: trio.Event = attrs.field(factory=trio.Event)
    progress: Bell = attrs.field(factory=Bell)

    async def load(self) -> Sequence[Write]:
        await trio.lowlevel.checkpoint()
        return self.disk.load()

    def write(self, changes: Sequence[Write | Erase]) -> int:
        if self.failure is not None:
            raise StoreError(str(self.failure)) from self.failure
        self.waiting += changes
        self.ticket += len(changes)
        self.work.set()
        return self.ticket

    def is_committed(self, ticket: int) -> bool:
        return self.kept >= ticket

    async def wait_committed(self, ticket: int) -> None:
        while self.kept < ticket:
            if self.failure is not None:
                raise StoreError(str(self.failure)) from self.failure
            await self.progress.wait()

    async def count_start(self, peer: Peer, job_id: UUID) -> int:
        """Wait for a commit, as every store does; the world's crashes are no handler's fault, so none is counted."""
        await self.wait_committed(self.ticket)
        return 1

    def starts(self, peer: Peer, job_id: UUID) -> int:
        return 0

    def clear_starts(self, peer: Peer, job_id: UUID) -> None:
        pass

    def statistics(self) -> StoreStatistics:
        return StoreStatistics(waiting=self.ticket - self.kept)

    async def run(self) -> None:
        while True:
            await self.work.wait()
            self.under_way, self.waiting = self.waiting, []
            ticket, self.work = self.ticket, trio.Event()
            if delay := self.disk.draw():
                await trio.sleep(delay)
            else:
                await trio.lowlevel.checkpoint()
            if self.disk.fails and not self.crashed:
                self.failure = StoreError("The disk is full")
                self.progress.ring()
                raise self.failure
            if not self.crashed:
                self.disk.commit(self.under_way)
            self.under_way = []
            # A crashed store goes on for the zombie that uses it, whose words nobody hears.
            self.kept = ticket
            self.progress.ring()

    def crash(self) -> None:
        if not self.crashed:
            self.crashed = True
            if self.failure is None and self.disk.is_lucky():
                self.disk.commit(self.under_way)

    def close(self) -> None:
        if not self.crashed and self.failure is None:
            self.disk.commit([*self.under_way, *self.waiting])
            self.under_way, self.waiting = [], []
            self.kept = self.ticket
        self.progress.ring()
