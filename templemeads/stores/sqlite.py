"""Boards in an SQLite file, for one process at a time.

All access goes through one connection in one worker thread, with a write-ahead log and `synchronous=FULL`. The locks of
`files` keep a second agent out: SQLite's own locking would let it in between two commits, and versions before 3.51.3 can
corrupt a write-ahead log that two connections use. Other programs may read the file, and may hold it locked for a while.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

from ..errors import StoreError
from .files import FileLock, blame
from .group_commit import StoreBusyError, open_engine
from .rows import Batch, JobRow, StartRow, checksum
from .store import DEFAULT_PATIENCE_SECONDS, BoardStore

APPLICATION_ID: Final = 0x746D7064  # "tmpd": tells our files from other SQLite files

_BUSY_SECONDS: Final = 0.5
"""How long SQLite itself waits for a lock before the commit is tried again."""

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
    # Version 3: each row has a checksum, handler starts are counted, and so are commits.
    """
    ALTER TABLE jobs ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET checksum = row_checksum(CAST(peer AS BLOB), CAST(zone AS BLOB), id, deleted, CAST(job AS BLOB));
    CREATE TABLE starts (
        peer TEXT NOT NULL,
        zone TEXT NOT NULL,
        id BLOB NOT NULL,
        count INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (peer, zone, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE commits (number INTEGER NOT NULL) STRICT;
    INSERT INTO commits (number) VALUES (0);
    """,
)
SCHEMA_VERSION: Final = len(_MIGRATIONS)

_WRITE: Final = (
    "INSERT INTO jobs (peer, zone, id, deleted, job, checksum) "
    "VALUES (CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), ?) ON CONFLICT (peer, zone, id) "
    "DO UPDATE SET deleted = excluded.deleted, job = excluded.job, checksum = excluded.checksum"
)
_ERASE: Final = "DELETE FROM jobs WHERE peer = CAST(? AS TEXT) AND zone = CAST(? AS TEXT) AND id = ?"
_COUNT: Final = (
    "INSERT INTO starts (peer, zone, id, count, checksum) VALUES (CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?) "
    "ON CONFLICT (peer, zone, id) DO UPDATE SET count = excluded.count, checksum = excluded.checksum"
)
_CLEAR: Final = "DELETE FROM starts WHERE peer = CAST(? AS TEXT) AND zone = CAST(? AS TEXT) AND id = ?"

_PASSING: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_FULL}
"""Errors after which a commit is tried again."""

_RESTORE: Final = "Restore the file from a backup, or move it away to start with empty boards"


class SqliteEngine:
    """An open SQLite file (`group_commit.Engine`); made by `connect_sqlite`."""

    advice = "free space or repair the file"
    is_remote = False
    renew_seconds = math.inf
    fence: int | None = None

    def __init__(self, connection: sqlite3.Connection, lock: FileLock, agent: str, number: int) -> None:
        self.title = f"The store {lock.path}"
        self.agent = agent
        self.number = number
        self._connection = connection
        self._lock = lock

    def job_rows(self) -> Sequence[JobRow]:
        """Return the rows of all jobs (`Engine.job_rows`)."""
        return cast(
            "list[JobRow]",
            self._rows("SELECT peer, zone, id, deleted, job, checksum FROM jobs ORDER BY rowid"),
        )

    def start_rows(self) -> Sequence[StartRow]:
        """Return all counts of handler starts (`Engine.start_rows`)."""
        return cast("list[StartRow]", self._rows("SELECT peer, zone, id, count, checksum FROM starts"))

    def _rows(self, query: str) -> list[tuple[object, ...]]:
        try:
            return self._connection.execute(query).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.title} is damaged: {error}. {_RESTORE}") from error

    def commit(self, batch: Batch) -> None:
        """Commit a batch (`Engine.commit`)."""
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(_WRITE, batch.jobs)
                self._connection.executemany(_ERASE, batch.erased)
                if batch.starts:
                    self._connection.executemany(_COUNT, batch.starts)
                if batch.cleared:
                    self._connection.executemany(_CLEAR, batch.cleared)
                execute("UPDATE commits SET number = ?", (batch.number,))
                execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _store_error(error, self._lock.path, str(error)) from error
        self._lock.check()
        self._lock.confirmed(batch.number)

    def interrupt(self) -> None:
        """Do nothing: a disk that hangs cannot be interrupted (`Engine.interrupt`)."""

    def close(self) -> None:
        """Close the file, then unlock it."""
        try:
            self._connection.close()
        finally:
            self._lock.close()


def _store_error(error: sqlite3.Error, path: Path, message: str) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte says what, the others say where
    if code not in _PASSING:
        return StoreError(message)
    if code != sqlite3.SQLITE_FULL:
        message += f": {blame(Path(f'{path}-shm'), path)}"
    return StoreBusyError(message)


@asynccontextmanager
async def open_sqlite_store(
    agent: str, *, path: Path, patience: float = DEFAULT_PATIENCE_SECONDS
) -> AsyncIterator[BoardStore]:
    """Open the store of an agent in a file, which is made if it is not there (mode 0600).

    Args:
        agent: The agent's name; a file that belongs to another agent is refused.
        path: The file. Beside it lie a lock file and SQLite's own write-ahead log.
        patience: Seconds to wait for another process that holds the file locked, or for room on the disk.

    Raises:
        StoreError: The file is in use, is no store of this agent, is newer than this software, is damaged, or cannot be
            opened; or, from the `with` block, a commit failed.
    """
    async with open_engine(lambda: connect_sqlite(path, agent), patience=patience) as store:
        yield store


def connect_sqlite(path: Path, agent: str, *, must_exist: bool = False) -> SqliteEngine:
    """Open a file.

    Args:
        path: The file.
        agent: The agent's name.
        must_exist: Refuse a file that is not there.

    Raises:
        StoreBusyError: Another process holds it locked at the moment.
        StoreError: It cannot be used.
    """
    lock = FileLock(path, must_exist=must_exist)
    try:
        connection = _connect(lock.path)
        try:
            number = _prepare(connection, lock, agent)
            lock.remember(Path(f"{lock.path}-wal"), Path(f"{lock.path}-shm"))
        except sqlite3.Error as error:
            connection.close()
            raise _store_error(
                error, lock.path, f"The store {lock.path} cannot be used: {error}{_advice(error)}"
            ) from error
        except StoreError:
            connection.close()
            raise
    except StoreError:
        lock.close()
        raise
    return SqliteEngine(connection, lock, agent, number)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise StoreError(f"The store {path} cannot be opened: {error}") from error
    connection.text_factory = bytes  # a damaged row need not hold UTF-8
    connection.create_function("row_checksum", 5, checksum, deterministic=True)
    return connection


def _advice(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return (
        f". {_RESTORE}"
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
        else ""
    )


def _prepare(connection: sqlite3.Connection, lock: FileLock, agent: str) -> int:
    """Check the file and bring it up to date; return its number of commits."""
    path = lock.path
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreError(f"The file {path} is not the store of an agent")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"The store {path} has schema version {version}; this software knows up to {SCHEMA_VERSION}. "
            f"Start the agent with the newer software that wrote it"
        )
    _check_integrity(connection, path)
    if lock.was_empty:
        lock.confirmed(0)
    elif version == 0:
        lock.check_number(0)  # its tables were in a write-ahead log that is gone
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
    names = connection.execute("SELECT name FROM agent").fetchall()
    numbers = connection.execute("SELECT number FROM commits").fetchall()
    if len(names) != 1 or len(numbers) != 1:
        raise StoreError(f"The store {path} is damaged: it does not say whose it is. {_RESTORE}")
    owner = names[0][0].decode(errors="replace")
    if owner != agent:
        raise StoreError(f"The store {path} belongs to the agent {owner!r}, not to {agent!r}")
    lock.check_number(numbers[0][0])
    if version != SCHEMA_VERSION:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the tables do not depend on the log any more
    return int(numbers[0][0])


def _check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    """Check that tables and indexes are whole; checksums then find damage within rows."""
    problems = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if problems != [b"ok"]:
        problem = b"; ".join(problems).decode(errors="replace").replace("\n", " ")
        raise StoreError(f"The store {path} is damaged: {problem}. {_RESTORE}")
