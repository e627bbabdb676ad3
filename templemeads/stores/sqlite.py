"""Boards in an SQLite file, for one process at a time.

All access goes through one connection in one worker thread. A writer task gathers the changes that have come while the
last commit was under way and commits them together (``synchronous=FULL``), so a busy agent pays for a few large commits
instead of many small ones, and a quiet one commits at once.

A lock file beside the database keeps a second process out: SQLite's own locking would let it in between two commits, and
versions before 3.51.3 can corrupt a write-ahead log that two connections use.

What a failure means: the changes of the failed commit were not told to anybody. The store refuses everything from then
on and its ``with`` block ends with the `StoreError`, which ends the agent; started again, it continues from the last
commit.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TextIO

import trio

from paddington import Peer

from ..errors import ParseError, StoreError
from ..jobs.job import Job
from ..jobs.outcome import Erase, Write
from .store import BoardStore, StoreStatistics

APPLICATION_ID: Final = 0x746D7064  # "tmpd": tells our files from other SQLite files

_MIGRATIONS: Final = (
    # Version 1: one row per job or tombstone on the board of a peer.
    """
    CREATE TABLE agent (name TEXT NOT NULL) STRICT;
    CREATE TABLE jobs (
        peer TEXT NOT NULL,
        zone TEXT NOT NULL,
        id BLOB NOT NULL,
        deleted INTEGER NOT NULL,
        job TEXT NOT NULL,
        PRIMARY KEY (peer, zone, id)
    ) STRICT, WITHOUT ROWID;
    """,
    # Version 2: rows lie in the order in which they came. Ids are random, so rows in the order of their keys touched a
    # page each; now a commit fills a few pages, and a job that ends soon after it was put is on one of the last.
    """
    ALTER TABLE jobs RENAME TO jobs_1;
    CREATE TABLE jobs (
        peer TEXT NOT NULL,
        zone TEXT NOT NULL,
        id BLOB NOT NULL,
        deleted INTEGER NOT NULL,
        job TEXT NOT NULL,
        UNIQUE (peer, zone, id)
    ) STRICT;
    INSERT INTO jobs SELECT peer, zone, id, deleted, job FROM jobs_1;
    DROP TABLE jobs_1;
    """,
)
SCHEMA_VERSION: Final = len(_MIGRATIONS)

_KEEP: Final = (
    "INSERT INTO jobs (peer, zone, id, deleted, job) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (peer, zone, id) DO UPDATE SET deleted = excluded.deleted, job = excluded.job"
)
_ERASE: Final = "DELETE FROM jobs WHERE peer = ? AND zone = ? AND id = ?"


class SqliteStore:
    """A store in an SQLite file; made by `open_sqlite_store`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._thread = trio.CapacityLimiter(1)
        self._waiting: list[Write | Erase] = []
        self._ticket = 0
        self._kept = 0
        self._failure: StoreError | None = None
        self._committing = 0
        self._work = trio.Event()
        # Who waits is in the commit that is under way or in the one after it, and is woken by that one alone.
        self._end_of_this = trio.Event()
        self._end_of_next = trio.Event()
        self._commits = 0
        self._seconds = 0.0

    async def load(self) -> Sequence[Write]:
        """Return everything that is kept (`BoardStore.load`)."""
        return await trio.to_thread.run_sync(self._load, limiter=self._thread)

    def write(self, changes: Sequence[Write | Erase]) -> int:
        """Take over changes (`BoardStore.write`)."""
        if self._failure is not None:
            raise StoreError(str(self._failure)) from self._failure
        if changes:
            self._waiting.extend(changes)
            self._ticket += len(changes)
            self._work.set()
        return self._ticket

    def is_kept(self, ticket: int) -> bool:
        """Whether changes are kept (`BoardStore.is_kept`)."""
        return self._kept >= ticket

    async def wait_kept(self, ticket: int) -> None:
        """Wait until changes are kept (`BoardStore.wait_kept`)."""
        while self._kept < ticket:
            if self._failure is not None:
                raise StoreError(str(self._failure)) from self._failure
            await (self._end_of_this if ticket <= self._committing else self._end_of_next).wait()

    def statistics(self) -> StoreStatistics:
        """Return figures for operators."""
        return StoreStatistics(
            waiting=self._ticket - self._kept,
            commits=self._commits,
            changes=self._kept,
            seconds=self._seconds,
        )

    async def run(self) -> None:
        """Commit what comes, until cancelled; never leaves a commit half-way.

        Raises:
            StoreError: A commit failed.

        """
        while True:
            await self._work.wait()
            await self.commit()

    async def commit(self) -> None:
        """Commit what has come so far."""
        changes, ticket = self._waiting, self._ticket
        self._waiting, self._work = [], trio.Event()
        if not changes:
            return
        self._committing = ticket
        self._end_of_this, self._end_of_next = self._end_of_next, trio.Event()
        started = trio.current_time()
        try:
            # A thread that runs cannot be cancelled, but before it starts there is a moment in which it can: then the
            # changes would be in nobody's hands.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._commit, changes, limiter=self._thread)
        except (sqlite3.Error, OSError) as error:
            self._failure = StoreError(
                f"The store {self._path} cannot keep jobs: {error}. Nothing that was confirmed is lost; "
                f"free space or repair the file, then start the agent again"
            )
            self._end_of_this.set()
            self._end_of_next.set()
            raise self._failure from error
        self._commits += 1
        self._seconds += trio.current_time() - started
        self._kept = ticket
        self._end_of_this.set()

    async def close(self) -> None:
        """Commit what has come so far, unless a commit failed before, and close the file."""
        try:
            if self._failure is None:
                await self.commit()
        finally:
            await trio.to_thread.run_sync(self._connection.close)  # noqa: ASYNC102 - a thread cannot be cancelled anyway

    # -- in the worker thread -----------------------------------------------------------------------------------

    def _commit(self, changes: Sequence[Write | Erase]) -> None:
        last = {_row_key(change): change for change in changes}
        keeps = [
            (*key, change.deleted, change.job.canonical())
            for key, change in last.items()
            if isinstance(change, Write)
        ]
        erases = [key for key, change in last.items() if isinstance(change, Erase)]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(_KEEP, keeps)
            self._connection.executemany(_ERASE, erases)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _load(self) -> list[Write]:
        kept = []
        try:
            rows = self._connection.execute("SELECT peer, zone, deleted, job FROM jobs")
            for peer, zone, deleted, text in rows:
                kept.append(Write(Peer(peer, zone), Job.from_json(json.loads(text)), deleted=bool(deleted)))
        except (sqlite3.Error, ValueError, ParseError) as error:
            raise StoreError(
                f"The store {self._path} holds a job that cannot be read: {error}. "
                f"Restore the file from a backup, or move it away to start with empty boards"
            ) from error
        kept.sort(key=lambda write: write.job.created)
        return kept


def _row_key(change: Write | Erase) -> tuple[str, str, bytes]:
    job_id = change.job.id if isinstance(change, Write) else change.job_id
    return change.peer.name, change.peer.zone, job_id.bytes


@asynccontextmanager
async def open_sqlite_store(agent: str, *, path: Path) -> AsyncIterator[BoardStore]:
    """Open the store of an agent in a file, which is made if it is not there (mode 0600).

    Args:
        agent: The agent's name; a file that belongs to another agent is refused.
        path: The file. Beside it lie a lock file and SQLite's own write-ahead log.

    Raises:
        StoreError: The file is in use, is no store of this agent, is newer than this software, or cannot be opened; or,
            from the ``with`` block, a commit failed.

    """
    lock = await trio.to_thread.run_sync(_lock, path)
    try:
        connection = await trio.to_thread.run_sync(_connect, path, agent)
        store = SqliteStore(path, connection)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.run)
                yield store
                nursery.cancel_scope.cancel(reason="the store closes")
        finally:
            with trio.CancelScope(shield=True):
                await store.close()
    finally:
        lock.close()


def _lock(path: Path) -> TextIO:
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        lock = os.fdopen(descriptor, "r+")
    except OSError as error:
        raise StoreError(f"The store {path} cannot be locked: {error.strerror}: {error.filename}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError(
            f"The store {path} is in use by another process: an agent with this configuration is running already"
        ) from error
    return lock


def _connect(path: Path, agent: str) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"The store {path} cannot be opened: {error}") from error
    try:
        _prepare(connection, path, agent)
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"The store {path} cannot be used: {error}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, agent: str) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreError(f"The file {path} is an SQLite file, but not the store of an agent")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"The store {path} has schema version {version}; this software knows up to {SCHEMA_VERSION}. "
            f"Start the agent with the newer software that wrote it"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    for number in range(version, SCHEMA_VERSION):
        for statement in filter(str.strip, _MIGRATIONS[number].split(";")):
            connection.execute(statement)
    if version == 0:
        connection.execute("INSERT INTO agent (name) VALUES (?)", (agent,))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    (owner,) = connection.execute("SELECT name FROM agent").fetchone()
    if owner != agent:
        raise StoreError(f"The store {path} belongs to the agent {owner!r}, not to {agent!r}")
