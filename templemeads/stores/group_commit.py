"""Group commit: many small units of changes, few commits.

A writer task gathers the changes that come while a commit runs and commits them together in a worker thread. So a busy
agent pays for a few large commits, and a quiet one commits at once. All access to the engine is in that one thread.

A commit that fails for a passing reason (`StoreBusyError`) is tried again until `patience` is over; answers are late then,
and nothing is lost. When a commit fails for good, nobody was told of its changes. The store refuses everything from then
on and its `with` block ends with the `StoreError`, which ends the agent; after a restart it goes on from the last commit.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeVar
from uuid import UUID

import trio

from paddington import Peer

from ..errors import StoreError
from ..jobs.outcome import Erase, Write
from .rows import Batch, JobRow, Key, StartCount, StartRow, ends_starts, key_of, read_jobs, read_starts
from .store import BoardStore, StoreStatistics

_log = logging.getLogger("templemeads.store")

FIRST_PAUSE_SECONDS: Final = 0.05
MAX_PAUSE_SECONDS: Final = 1.0
"""Pauses between two tries of a commit: each is twice the one before."""


class StoreBusyError(StoreError):
    """A commit failed for a reason that may pass, and nothing of it was written: it can be tried again."""


class Engine(Protocol):
    """A database. Every method is called in a worker thread, never two at a time."""

    title: str
    """What to call it in messages, such as `The store /var/lib/agent/boards.db`."""

    advice: str
    """What to do when it fails for good."""

    is_remote: bool
    """Whether it can hang because of a network, so that `interrupt` is needed."""

    renew_seconds: float
    """After how many seconds without a commit to make an empty one, to show that we are alive; infinite for never."""

    number: int
    """How many commits it had when it was opened."""

    fence: int | None
    """How often a process has claimed the store (`lease`), or None if the engine does not count that."""

    def job_rows(self) -> Sequence[JobRow]:
        """Return the rows of all jobs.

        Raises:
            StoreError: They cannot be read.
        """

    def start_rows(self) -> Sequence[StartRow]:
        """Return all counts of handler starts.

        Raises:
            StoreError: They cannot be read.
        """

    def commit(self, batch: Batch) -> None:
        """Commit a batch, all or nothing; trying again with the same batch is safe.

        Raises:
            StoreBusyError: It failed for a reason that may pass.
            StoreError: It failed.
        """

    def interrupt(self) -> None:
        """Make a call that hangs in the worker thread end with an error. The only method called from another thread."""

    def close(self) -> None:
        """Close it; called once, at the end."""


AnyEngine = TypeVar("AnyEngine", bound=Engine)


class GroupCommit:
    """A store over an engine; made by `open_engine`."""

    def __init__(self, engine: Engine, *, patience: float) -> None:
        self._engine = engine
        self._patience = patience
        self._thread = trio.CapacityLimiter(1)
        self._waiting: list[Write | Erase | StartCount] = []
        self._starts: dict[Key, int] = {}
        self._number = engine.number
        self._ticket = 0
        self._committed = 0
        self._failure: StoreError | None = None
        self._problem: str | None = None
        self._committing = 0
        self._busy_since = math.inf
        self._work = trio.Event()
        # A waiter belongs to the commit that runs or to the one after it, and only that one wakes it.
        self._end_of_this = trio.Event()
        self._end_of_next = trio.Event()
        self._commits = 0
        self._seconds = 0.0

    async def load(self) -> Sequence[Write]:
        """Return everything that is committed (`BoardStore.load`)."""
        self._busy_since = trio.current_time()
        try:
            jobs, self._starts = await trio.to_thread.run_sync(self._load, limiter=self._thread)
        finally:
            self._busy_since = math.inf
        return jobs

    def _load(self) -> tuple[list[Write], dict[Key, int]]:
        return read_jobs(self._engine.job_rows(), self._engine.title), read_starts(self._engine.start_rows())

    def write(self, changes: Sequence[Write | Erase]) -> int:
        """Take changes (`BoardStore.write`)."""
        if changes:
            self._append(changes)
            if self._starts:
                for change in changes:
                    if ends_starts(change):
                        self._clear(key_of(change))
        elif self._failure is not None:
            raise StoreError(str(self._failure)) from self._failure
        return self._ticket

    def _append(self, changes: Sequence[Write | Erase | StartCount]) -> None:
        if self._failure is not None:
            raise StoreError(str(self._failure)) from self._failure
        self._waiting.extend(changes)
        self._ticket += len(changes)
        self._work.set()

    def is_committed(self, ticket: int) -> bool:
        """Whether changes are committed (`BoardStore.is_committed`)."""
        return self._committed >= ticket

    async def wait_committed(self, ticket: int) -> None:
        """Wait until changes are committed (`BoardStore.wait_committed`)."""
        while self._committed < ticket:
            if self._failure is not None:
                raise StoreError(str(self._failure)) from self._failure
            await (self._end_of_this if ticket <= self._committing else self._end_of_next).wait()

    async def count_start(self, peer: Peer, job_id: UUID) -> int:
        """Count one more call of a job's handler (`BoardStore.count_start`)."""
        key = (peer.name, peer.zone, job_id.bytes)
        count = self._starts.get(key, 0) + 1
        self._append([StartCount(key, count)])
        self._starts[key] = count
        await self.wait_committed(self._ticket)
        return count

    def starts(self, peer: Peer, job_id: UUID) -> int:
        """Return the count (`BoardStore.starts`)."""
        return self._starts.get((peer.name, peer.zone, job_id.bytes), 0)

    def clear_starts(self, peer: Peer, job_id: UUID) -> None:
        """Forget the count (`BoardStore.clear_starts`)."""
        if self._failure is None:
            self._clear((peer.name, peer.zone, job_id.bytes))

    def _clear(self, key: Key) -> None:
        if self._starts.pop(key, None) is not None:
            self._append([StartCount(key, 0)])

    def statistics(self) -> StoreStatistics:
        """Return figures for operators."""
        return StoreStatistics(
            waiting=self._ticket - self._committed,
            commits=self._commits,
            changes=self._committed,
            seconds=self._seconds,
            problem=self._problem,
            fence=self._engine.fence,
        )

    async def run(self) -> None:
        """Commit what comes, until cancelled; never leaves a commit half done.

        Raises:
            StoreError: A commit failed.
        """
        while True:
            with trio.move_on_after(self._engine.renew_seconds):
                await self._work.wait()
            await self.commit(renew=not self._work.is_set())

    async def commit(self, *, renew: bool = False) -> None:
        """Commit what has come so far; tries again for as long as the store's patience lasts.

        Args:
            renew: Whether to make an empty commit if nothing has come.
        """
        changes, ticket = self._waiting, self._ticket
        self._waiting, self._work = [], trio.Event()
        if not changes and not renew:
            return
        self._committing = ticket
        self._busy_since = started = trio.current_time()
        self._end_of_this, self._end_of_next = self._end_of_next, trio.Event()
        try:
            # A thread that runs cannot be cancelled, but it can be cancelled just before it starts: then nobody would
            # hold the changes.
            with trio.CancelScope(shield=True):
                await self._commit_patiently(changes, started)
        except StoreError as error:
            self._failure = StoreError(
                f"{self._engine.title} cannot commit jobs: {error}. Nothing that was confirmed is lost; "
                f"{self._engine.advice}, then start the agent again"
            )
            self._end_of_this.set()
            self._end_of_next.set()
            raise self._failure from error
        finally:
            self._busy_since = math.inf
        self._number += 1
        if changes:
            self._commits += 1
            self._seconds += trio.current_time() - started
        self._committed = ticket
        self._end_of_this.set()

    async def _commit_patiently(self, changes: Sequence[Write | Erase | StartCount], started: float) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await trio.to_thread.run_sync(self._commit, changes, limiter=self._thread)
            except StoreBusyError as error:
                waited = trio.current_time() - started
                if waited + pause > self._patience:
                    raise StoreError(f"{error} (tried for {waited:.0f} s)") from error
                if self._problem is None:
                    _log.warning(
                        "%s cannot commit jobs now: %s. Trying again for %.0f s; answers are late until then",
                        self._engine.title,
                        error,
                        self._patience,
                    )
                self._problem = str(error)
                await trio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_SECONDS)
            else:
                if self._problem is not None:
                    waited = trio.current_time() - started
                    _log.warning("%s commits jobs again, after %.1f s", self._engine.title, waited)
                    self._problem = None
                return

    def _commit(self, changes: Sequence[Write | Erase | StartCount]) -> None:
        self._engine.commit(Batch.of(self._number + 1, changes))

    async def watch(self) -> None:
        """Interrupt a call that hangs for longer than the store's patience, until cancelled."""
        while self._engine.is_remote:
            await trio.sleep(self._patience / 4)
            if trio.current_time() - self._busy_since > self._patience:
                self._engine.interrupt()

    async def close(self) -> None:
        """Commit what has come so far, unless a commit failed before, and close the engine."""
        try:
            if self._failure is None and self._waiting:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.watch)
                    await self.commit()
                    nursery.cancel_scope.cancel(reason="the last commit is done")
        finally:
            await trio.to_thread.run_sync(self._engine.close)  # noqa: ASYNC102 - a thread cannot be cancelled anyway


@asynccontextmanager
async def open_engine(
    connect: Callable[[], AnyEngine],
    *,
    patience: float,
    prepare: Callable[[AnyEngine], Awaitable[None]] | None = None,
) -> AsyncIterator[BoardStore]:
    """Open an engine, and commit to it in a task until the `with` block ends.

    Args:
        connect: Opens the engine; called in a thread. If it raises `StoreBusyError`, it is called again.
        patience: Seconds for which a commit, and opening, is tried again after a failure that may pass.
        prepare: Awaited with the open engine before anything is read from it.

    Raises:
        StoreError: The engine cannot be opened; or, from the `with` block, a commit failed.
    """
    engine = await _connect_patiently(connect, patience)
    try:
        if prepare is not None:
            await prepare(engine)
    except BaseException:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(engine.close)
        raise
    store = GroupCommit(engine, patience=patience)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run)
            nursery.start_soon(store.watch)
            yield store
            nursery.cancel_scope.cancel(reason="the store closes")
    finally:
        with trio.CancelScope(shield=True):
            await store.close()


async def _connect_patiently(connect: Callable[[], AnyEngine], patience: float) -> AnyEngine:
    deadline, pause = trio.current_time() + patience, FIRST_PAUSE_SECONDS
    while True:
        try:
            with trio.CancelScope(shield=True):  # an engine that was opened must not be dropped
                return await trio.to_thread.run_sync(connect)
        except StoreBusyError as error:
            if trio.current_time() + pause > deadline:
                raise StoreError(str(error)) from error
            if pause == FIRST_PAUSE_SECONDS:
                _log.warning("%s. Trying again for %.0f s", error, patience)
        await trio.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE_SECONDS)
