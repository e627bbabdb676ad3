"""Boards in a PostgreSQL database, which several agents can share; each has its own rows.

The driver cannot run under trio, so it runs in group commit's worker thread. One commit is one transaction of a few
statements over arrays, sent in a pipeline: one round trip, whatever the number of jobs. Durability is that of the server
(`synchronous_commit` and the like are left as they are set).

Three things keep what was confirmed safe. A lock in the database keeps a second agent of the same name out. Each commit
carries its number and the fence of its process (`lease`), and a transaction with any other number than the next one, or an
older fence, fails, so a process whose lock was lost can write nothing. And after a lost connection the number tells whether
the last commit was made, or whether the server went back behind what it had confirmed (a failover to a standby that lagged).

With a lease, several processes of one name can open the store (`PostgresqlEngine.try_to_lead`): one leads, the others wait.

Needs the extra `postgresql`.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, cast
from urllib.parse import urlsplit

from ..errors import StoreError
from .group_commit import StoreBusyError, open_engine
from .lease import RENEWALS_PER_LEASE, LeaseRow, LeaseWatch, Verdict, process_label
from .rows import Batch, JobRow, StartRow, utf8
from .store import DEFAULT_PATIENCE_SECONDS, BoardStore
from .turns import wait_to_lead

try:
    import psycopg
except ImportError:  # pragma: no cover - said by `connect_postgresql`
    psycopg = None  # type: ignore[assignment,unused-ignore]

CONNECT_SECONDS: Final = 5
LOCK_SECONDS: Final = 2
"""How long a statement waits for another session's lock on a table, before the commit is tried again."""
UNACKNOWLEDGED_SECONDS: Final = 10
"""How long sent data may stay unacknowledged before the connection counts as lost."""

_OPTIONS: Final = (
    f"-c lock_timeout={LOCK_SECONDS}s -c client_min_messages=warning "
    # The server's side of the same: it forgets us, and unlocks our rows, soon after our machine is gone.
    f"-c tcp_keepalives_idle={UNACKNOWLEDGED_SECONDS} -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
)

_MIGRATIONS: Final = (
    """
    CREATE TABLE templemeads_agents (name text PRIMARY KEY, commits bigint NOT NULL);
    CREATE TABLE templemeads_jobs (
        agent text NOT NULL REFERENCES templemeads_agents (name),
        peer text NOT NULL,
        zone text NOT NULL,
        id bytea NOT NULL,
        deleted integer NOT NULL,
        job text NOT NULL,
        checksum bigint NOT NULL,
        PRIMARY KEY (agent, peer, zone, id)
    );
    CREATE TABLE templemeads_starts (
        agent text NOT NULL REFERENCES templemeads_agents (name),
        peer text NOT NULL,
        zone text NOT NULL,
        id bytea NOT NULL,
        count bigint NOT NULL,
        checksum bigint NOT NULL,
        PRIMARY KEY (agent, peer, zone, id)
    );
    """,
    """
    ALTER TABLE templemeads_agents
        ADD COLUMN fence bigint NOT NULL DEFAULT 0,
        ADD COLUMN leader text,
        ADD COLUMN lease_seconds double precision;
    """,
)
SCHEMA_VERSION: Final = len(_MIGRATIONS)

# No row is updated unless the commit has the number that is due and the latest fence; then the division by 0 rolls the
# transaction back.
_NUMBER: Final = (
    "WITH due AS (UPDATE templemeads_agents SET commits = %s WHERE name = %s AND commits = %s AND fence = %s RETURNING 1) "
    "SELECT 1 / count(*) FROM due"
)
_CLAIM: Final = (
    "UPDATE templemeads_agents SET fence = fence + 1, leader = %s, lease_seconds = %s "
    "WHERE name = %s AND commits = %s AND fence = %s RETURNING fence"
)
_LOCK_KEY: Final = "hashtextextended('templemeads ' || current_schema() || ' ' || %s, 0)"
_EVICT: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks "  # noqa: S608 - constants
    "WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND pid <> pg_backend_pid() AND (classid::bigint << 32 | objid::bigint) = " + _LOCK_KEY
)
_WRITE: Final = (
    "INSERT INTO templemeads_jobs (agent, peer, zone, id, deleted, job, checksum) SELECT %s, row.* "
    "FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::integer[], %s::text[], %s::bigint[]) AS row "
    "ON CONFLICT (agent, peer, zone, id) "
    "DO UPDATE SET deleted = excluded.deleted, job = excluded.job, checksum = excluded.checksum"
)
_COUNT: Final = (
    "INSERT INTO templemeads_starts (agent, peer, zone, id, count, checksum) SELECT %s, row.* "
    "FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::bigint[], %s::bigint[]) AS row "
    "ON CONFLICT (agent, peer, zone, id) DO UPDATE SET count = excluded.count, checksum = excluded.checksum"
)
_GONE: Final = (
    "USING unnest(%s::text[], %s::text[], %s::bytea[]) AS gone (peer, zone, id) "
    "WHERE stored.agent = %s AND stored.peer = gone.peer AND stored.zone = gone.zone AND stored.id = gone.id"
)
_ERASE: Final = "DELETE FROM templemeads_jobs AS stored " + _GONE  # noqa: S608 - constants
_CLEAR: Final = "DELETE FROM templemeads_starts AS stored " + _GONE  # noqa: S608 - constants

_PASSING_CLASSES: Final = ("08", "40", "53", "57")
"""SQLSTATE classes after which a commit is tried again: connection, rollback, resources (disk full), intervention."""
_PASSING_CODES: Final = {"25006", "55P03"}
"""A server that is read-only (a standby), and a lock that another session holds."""

_REFUSALS: Final = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "permission denied for database",
    "does not exist",
)
"""What a server says to a connection with the wrong name, password or database. The driver has no code for it, and a
server that speaks another language is tried again instead."""

POLL_SECONDS: Final = 0.25
"""How often a waiting process looks at the leader. It sees the end of the leader's session at once."""


class PostgresqlEngine:
    """The rows of one agent (`group_commit.Engine`); made by `connect_postgresql`."""

    advice = "repair the database or its settings"
    is_remote = True

    def __init__(
        self, url: str, agent: str, *, must_exist: bool = False, lease_seconds: float | None = None
    ) -> None:
        self.title = f"The store {shown(url)}"
        self.agent = agent
        self.number = 0
        self.fence: int | None = None
        self.renew_seconds = math.inf if lease_seconds is None else lease_seconds / RENEWALS_PER_LEASE
        self._lease_seconds = lease_seconds
        self._watch = None if lease_seconds is None else LeaseWatch(lease_seconds)
        self._url = url
        self._backend: tuple[int, object] | None = None
        """Process id and start time of our last session at the server."""
        self._connection: psycopg.Connection[Any] = self._connect()
        try:
            if self._watch is None:
                self._lock()
            with self._translated():
                self._prepare(must_exist=must_exist)
                if self._watch is None and not self._claim(self._read_lease()):
                    raise StoreBusyError(f"{self.title} is in use by another process")
        except StoreError:
            self._connection.close()
            raise

    # -- opening ------------------------------------------------------------------------------------------------

    def _connect(self) -> psycopg.Connection[Any]:
        with self._translated(f"{self.title} cannot be opened: "):
            connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                target_session_attrs="read-write",
                application_name=f"templemeads {self.agent}",
                client_encoding="utf-8",
                keepalives_idle=UNACKNOWLEDGED_SECONDS,
                keepalives_interval=2,
                keepalives_count=3,
                tcp_user_timeout=UNACKNOWLEDGED_SECONDS * 1000,
                options=_OPTIONS,
            )
        try:
            with self._translated(f"{self.title} cannot be opened: "):
                encoding = connection.execute("SHOW server_encoding").fetchone()
                if encoding != ("UTF8",):
                    raise StoreError(
                        f"{self.title} has the encoding {encoding}: make a database with the encoding UTF8"
                    )
        except StoreError:
            connection.close()
            raise
        return connection

    def _lock(self) -> None:
        """Lock the agent's rows for as long as the session lasts."""
        execute = self._connection.execute
        with self._translated(f"{self.title} cannot be opened: "):
            if self._backend is not None:
                # Our last session may live on at the server when only the connection to it is dead; it must not keep us
                # out.
                execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s",
                    self._backend,
                )
            if execute(f"SELECT pg_try_advisory_lock({_LOCK_KEY})", (self.agent,)).fetchone() != (True,):
                # A process that died, or its machine, has a session for some seconds more.
                raise StoreBusyError(
                    f"{self.title} is in use by another process: "
                    f"an agent with the name {self.agent!r} is running already"
                )
            self._note_session()

    def _note_session(self) -> None:
        found = self._connection.execute(
            "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ).fetchone()
        assert found is not None
        self._backend = (found[0], found[1])

    def _claim(self, row: LeaseRow) -> bool:
        """Lead from now on, unless somebody has written since the row was read; we hold the lock."""
        claimed = self._connection.execute(
            _CLAIM, (process_label(), self._lease_seconds, self.agent, row.commits, row.fence)
        ).fetchone()
        if claimed is None:
            return False
        self.number, self.fence = row.commits, int(claimed[0])
        return True

    # -- waiting for a turn -------------------------------------------------------------------------------------

    def try_to_lead(self) -> str | None:
        """Wait for a moment until the leader is gone; return who leads, or None if it is this process from now on.

        Raises:
            StoreBusyError: The server cannot be reached, or takes no writes, at the moment.
            StoreError: It cannot be used.
        """
        assert self._watch is not None
        if self._connection.broken or self._connection.closed:
            self._watch.restart()
            self._connection = self._connect()
        execute = self._connection.execute
        with self._translated():
            execute(f"SET lock_timeout = '{POLL_SECONDS * 1000:.0f}ms'")
            is_free = self._wait_for_lock()
            row = self._read_lease()
            verdict = self._watch.saw(row, time.monotonic(), is_free=is_free)
            if verdict is Verdict.CLAIM and self._claim(row):
                self._note_session()
                execute("RESET lock_timeout")
                return None
            if verdict is Verdict.EVICT:
                execute(cast("Any", _EVICT), (self.agent,))
            elif is_free:
                execute("SELECT pg_advisory_unlock_all()")
                time.sleep(POLL_SECONDS)
            return row.leader or "another process"

    def _wait_for_lock(self) -> bool:
        try:
            self._connection.execute(f"SELECT pg_advisory_lock({_LOCK_KEY})", (self.agent,))
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    def _prepare(self, *, must_exist: bool) -> None:
        """Bring the tables up to date, and make the agent's row."""
        execute = self._connection.execute
        with self._connection.transaction():
            execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('templemeads schema ' || current_schema(), 0))"
            )
            execute("CREATE TABLE IF NOT EXISTS templemeads_schema (version integer NOT NULL)")
            row = execute("SELECT max(version) FROM templemeads_schema").fetchone()
            version = 0 if row is None or row[0] is None else row[0]
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{self.title} has schema version {version}; this software knows up to {SCHEMA_VERSION}. "
                    f"Start the agent with the newer software that wrote it"
                )
            for migration in _MIGRATIONS[version:]:
                execute(cast("Any", migration))
            if version < SCHEMA_VERSION:
                execute("DELETE FROM templemeads_schema")
                execute("INSERT INTO templemeads_schema (version) VALUES (%s)", (SCHEMA_VERSION,))
            if not must_exist:
                execute(
                    "INSERT INTO templemeads_agents (name, commits) VALUES (%s, 0) ON CONFLICT DO NOTHING",
                    (self.agent,),
                )
            self._read_lease()

    def _read_lease(self) -> LeaseRow:
        row = self._connection.execute(
            "SELECT commits, fence, leader, lease_seconds FROM templemeads_agents WHERE name = %s",
            (self.agent,),
        ).fetchone()
        if row is None:
            raise StoreError(f"{self.title} holds nothing of an agent {self.agent!r}")
        return LeaseRow(*row)

    # -- at work ------------------------------------------------------------------------------------------------

    def job_rows(self) -> Sequence[JobRow]:
        """Return the rows of all jobs (`Engine.job_rows`)."""
        with self._translated(f"{self.title} cannot be read: "):
            rows = self._connection.execute(
                "SELECT peer, zone, id, deleted, job, checksum FROM templemeads_jobs WHERE agent = %s",
                (self.agent,),
            ).fetchall()
        return [
            (utf8(peer), utf8(zone), bytes(job_id), deleted, utf8(job), number)
            for peer, zone, job_id, deleted, job, number in rows
        ]

    def start_rows(self) -> Sequence[StartRow]:
        """Return all counts of handler starts (`Engine.start_rows`)."""
        with self._translated(f"{self.title} cannot be read: "):
            rows = self._connection.execute(
                "SELECT peer, zone, id, count, checksum FROM templemeads_starts WHERE agent = %s",
                (self.agent,),
            ).fetchall()
        return [
            (utf8(peer), utf8(zone), bytes(job_id), count, number)
            for peer, zone, job_id, count, number in rows
        ]

    def commit(self, batch: Batch) -> None:
        """Commit a batch (`Engine.commit`)."""
        if self._connection.broken or self._connection.closed:
            self._connection = self._connect()
            try:
                self._check_fence()  # before the lock, which another process may have by now
                self._lock()
                if self._check_fence().commits == batch.number:
                    return  # the connection was lost between the commit and its confirmation
                self._check_number(batch.number)
            except StoreError:
                self._connection.close()
                raise
        try:
            with self._translated(), self._connection.pipeline(), self._connection.transaction():
                self._send(batch)
        except StoreError as error:
            if isinstance(error.__cause__, psycopg.errors.DivisionByZero):
                self._check_fence()
            raise

    def _send(self, batch: Batch) -> None:
        execute = self._connection.execute
        execute(_NUMBER, (batch.number, self.agent, batch.number - 1, self.fence))
        if batch.jobs:
            peers, zones, ids, deleted, jobs, sums = map(list, zip(*batch.jobs, strict=True))
            execute(_WRITE, (self.agent, _texts(peers), _texts(zones), ids, deleted, _texts(jobs), sums))
        if batch.erased:
            names, places, gone = map(list, zip(*batch.erased, strict=True))
            execute(_ERASE, (_texts(names), _texts(places), gone, self.agent))
        if batch.starts:
            peers, zones, ids, counts, sums = map(list, zip(*batch.starts, strict=True))
            execute(_COUNT, (self.agent, _texts(peers), _texts(zones), ids, counts, sums))
        if batch.cleared:
            names, places, gone = map(list, zip(*batch.cleared, strict=True))
            execute(_CLEAR, (_texts(names), _texts(places), gone, self.agent))

    def _check_fence(self) -> LeaseRow:
        with self._translated():
            row = self._read_lease()
        if row.fence > (self.fence or 0):
            self.advice = "find out whether this machine was suspended, overloaded or cut off"
            raise StoreError(f"{row.leader or 'another process'} has taken over and leads now")
        return row

    def _check_number(self, due: int) -> None:
        row = self._check_fence()
        if row.commits < due - 1 or row.fence != self.fence:
            raise StoreError(
                f"the server has lost confirmed commits: it holds {row.commits} of {due - 1}. It went back to an older "
                f"state, for example by a failover to a standby that lagged (see synchronous_standby_names)"
            )
        if row.commits > due:
            raise StoreError("another process has written to it meanwhile under this agent's name")

    def interrupt(self) -> None:
        """Cut the connection, from another thread, so that a call that hangs ends with an error."""
        with (
            contextlib.suppress(psycopg.Error, OSError),
            socket.socket(fileno=os.dup(self._connection.fileno())) as line,
        ):
            line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Unlock the rows, so that the next process need not wait for the server to notice, and close the session."""
        timer = threading.Timer(CONNECT_SECONDS, self.interrupt)
        timer.start()
        with contextlib.suppress(psycopg.Error):
            if self.fence is not None:
                self._connection.execute(
                    "UPDATE templemeads_agents SET leader = NULL WHERE name = %s AND fence = %s",
                    (self.agent, self.fence),
                )
            self._connection.execute("SELECT pg_advisory_unlock_all()")
        timer.cancel()
        self._connection.close()

    @contextlib.contextmanager
    def _translated(self, prefix: str = "") -> Iterator[None]:
        """Turn errors of the driver into ours."""
        try:
            yield
        except psycopg.errors.DivisionByZero as error:
            raise StoreError("another process has written to it meanwhile under this agent's name") from error
        except psycopg.Error as error:
            message = prefix + " ".join(str(error).split())
            code = error.sqlstate or ""
            if self._backend is None and not code and _is_refusal(str(error)):
                raise StoreError(message) from error
            is_lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and not code
            if code == "25006":
                self._connection.close()  # a new connection may find the server that takes writes
            if is_lost or code.startswith(_PASSING_CLASSES) or code in _PASSING_CODES:
                raise StoreBusyError(message) from error
            raise StoreError(message) from error


def _is_refusal(message: str) -> bool:
    """Whether every server that was tried has refused the user, the password or the database."""
    attempts = [line for line in message.splitlines() if line.startswith("- ")] or [message]
    return all("FATAL" in line and any(words in line for words in _REFUSALS) for line in attempts) or (
        "fe_sendauth: no password supplied" in message
    )


def _texts(fields: Sequence[object]) -> list[str]:
    return [cast("bytes", field).decode() for field in fields]


def shown(url: str) -> str:
    """Return a URL without user, password and parameters, for messages."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def connect_postgresql(
    url: str, agent: str, *, must_exist: bool = False, lease_seconds: float | None = None
) -> PostgresqlEngine:
    """Open the rows of an agent; the tables are made if they are not there.

    Args:
        url: `postgresql://user@host/database`, with any parameters that libpq knows; several hosts may be named.
        agent: The agent's name.
        must_exist: Refuse when there are no rows of this agent yet.
        lease_seconds: If not None, it is only connected, and may lead when `PostgresqlEngine.try_to_lead` says so.

    Raises:
        StoreBusyError: The server does not answer, or takes no writes, at the moment.
        StoreError: It cannot be used.
    """
    if psycopg is None:
        raise StoreError(
            f"The store {shown(url)} needs the extra 'postgresql': pip install 'templemeads[postgresql]'"
        )
    return PostgresqlEngine(url, agent, must_exist=must_exist, lease_seconds=lease_seconds)


@asynccontextmanager
async def open_postgresql_store(
    agent: str,
    *,
    url: str,
    patience: float = DEFAULT_PATIENCE_SECONDS,
    lease_seconds: float | None = None,
    on_waiting: Callable[[str], None] | None = None,
) -> AsyncIterator[BoardStore]:
    """Open the store of an agent in a PostgreSQL database.

    Args:
        agent: The agent's name.
        url: As for `connect_postgresql`.
        patience: Seconds to wait for a server that restarts, fails over, is full or cannot be reached.
        lease_seconds: If not None, several processes may open it: this waits until it is this one's turn. A leader that
            is silent for this long loses its turn.
        on_waiting: Called with the name of the process that leads, when the waiting begins and when that changes.

    Raises:
        StoreError: It is in use, newer than this software, or cannot be opened; or, from the `with` block, a commit
            failed, or another process has taken over.
    """
    connect = partial(connect_postgresql, url, agent, lease_seconds=lease_seconds)
    prepare = (
        None if lease_seconds is None else partial(wait_to_lead, patience=patience, on_waiting=on_waiting)
    )
    async with open_engine(connect, patience=patience, prepare=prepare) as store:
        yield store
