"""Boards in a PostgreSQL database, which several agents can share; each has its own rows.

The driver cannot run under trio, so it runs in group commit's worker thread. One commit is one transaction of a few
statements over arrays, sent in a pipeline: one round trip, whatever the number of jobs. Durability is that of the server
(`synchronous_commit` and the like are left as they are set).

Three things keep what was confirmed safe. A lock in the database keeps a second agent of the same name out. Each commit
carries its number, and a transaction with any other number than the next one fails, so an agent whose lock was lost can
write nothing. And after a lost connection the number tells whether the last commit was made, or whether the server went
back behind what it had confirmed (a failover to a standby that lagged).

Needs the extra `postgresql`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from urllib.parse import urlsplit

from ..errors import StoreError
from .group_commit import StoreBusyError, open_engine
from .rows import Batch, JobRow, StartRow, utf8
from .store import DEFAULT_PATIENCE_SECONDS, BoardStore

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
)
SCHEMA_VERSION: Final = len(_MIGRATIONS)

# No row is updated unless the commit has the number that is due; then the division by 0 rolls the transaction back.
_NUMBER: Final = (
    "WITH due AS (UPDATE templemeads_agents SET commits = %s WHERE name = %s AND commits = %s RETURNING 1) "
    "SELECT 1 / count(*) FROM due"
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


class PostgresqlEngine:
    """The rows of one agent (`group_commit.Engine`); made by `connect_postgresql`."""

    advice = "repair the database or its settings"
    is_remote = True

    def __init__(self, url: str, agent: str, *, must_exist: bool = False) -> None:
        self.title = f"The store {shown(url)}"
        self.agent = agent
        self._url = url
        self._backend: tuple[int, object] | None = None
        """Process id and start time of our last session at the server."""
        self._connection: psycopg.Connection[Any] = self._connect()
        try:
            with self._translated():
                self.number = self._prepare(must_exist=must_exist)
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
                self._lock(connection)
        except StoreError:
            connection.close()
            raise
        return connection

    def _lock(self, connection: psycopg.Connection[Any]) -> None:
        """Lock the agent's rows for as long as the session lasts."""
        encoding = connection.execute("SHOW server_encoding").fetchone()
        if encoding != ("UTF8",):
            raise StoreError(
                f"{self.title} has the encoding {encoding}: make a database with the encoding UTF8"
            )
        key = "hashtextextended('templemeads ' || current_schema() || ' ' || %s, 0)"
        if self._backend is not None:
            # Our last session may live on at the server when only the connection to it is dead; it must not keep us out.
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s",
                self._backend,
            )
        if connection.execute(f"SELECT pg_try_advisory_lock({key})", (self.agent,)).fetchone() != (True,):
            # A process that died, or its machine, has a session for some seconds more.
            raise StoreBusyError(
                f"{self.title} is in use by another process: an agent with the name {self.agent!r} is running already"
            )
        found = connection.execute(
            "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ).fetchone()
        assert found is not None
        self._backend = (found[0], found[1])

    def _prepare(self, *, must_exist: bool) -> int:
        """Bring the tables up to date and return the agent's number of commits."""
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
            number = self._read_number()
        if number is None:
            raise StoreError(f"{self.title} holds nothing of an agent {self.agent!r}")
        return number

    def _read_number(self) -> int | None:
        row = self._connection.execute(
            "SELECT commits FROM templemeads_agents WHERE name = %s", (self.agent,)
        ).fetchone()
        return None if row is None else int(row[0])

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
            with self._translated():
                number = self._read_number()
            if number == batch.number:
                return  # the connection was lost between the commit and its confirmation
            self._check_number(number, batch.number)
        with self._translated(), self._connection.pipeline(), self._connection.transaction():
            self._send(batch)

    def _send(self, batch: Batch) -> None:
        execute = self._connection.execute
        execute(_NUMBER, (batch.number, self.agent, batch.number - 1))
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

    def _check_number(self, number: int | None, due: int) -> None:
        if number is None or number < due - 1:
            raise StoreError(
                f"the server has lost confirmed commits: it holds {number or 0} of {due - 1}. It went back to an older "
                f"state, for example by a failover to a standby that lagged (see synchronous_standby_names)"
            )
        if number > due:
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
            is_lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and not code
            if code == "25006":
                self._connection.close()  # a new connection may find the server that takes writes
            if is_lost or code.startswith(_PASSING_CLASSES) or code in _PASSING_CODES:
                raise StoreBusyError(message) from error
            raise StoreError(message) from error


def _texts(fields: Sequence[object]) -> list[str]:
    return [cast("bytes", field).decode() for field in fields]


def shown(url: str) -> str:
    """Return a URL without user, password and parameters, for messages."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def connect_postgresql(url: str, agent: str, *, must_exist: bool = False) -> PostgresqlEngine:
    """Open the rows of an agent; the tables are made if they are not there.

    Args:
        url: `postgresql://user@host/database`, with any parameters that libpq knows; several hosts may be named.
        agent: The agent's name.
        must_exist: Refuse when there are no rows of this agent yet.

    Raises:
        StoreBusyError: The server does not answer, or takes no writes, at the moment.
        StoreError: It cannot be used.
    """
    if psycopg is None:
        raise StoreError(
            f"The store {shown(url)} needs the extra 'postgresql': pip install 'templemeads[postgresql]'"
        )
    return PostgresqlEngine(url, agent, must_exist=must_exist)


@asynccontextmanager
async def open_postgresql_store(
    agent: str, *, url: str, patience: float = DEFAULT_PATIENCE_SECONDS
) -> AsyncIterator[BoardStore]:
    """Open the store of an agent in a PostgreSQL database.

    Args:
        agent: The agent's name.
        url: As for `connect_postgresql`.
        patience: Seconds to wait for a server that restarts, fails over, is full or cannot be reached.

    Raises:
        StoreError: It is in use, newer than this software, or cannot be opened; or, from the `with` block, a commit
            failed.
    """
    async with open_engine(lambda: connect_postgresql(url, agent), patience=patience) as store:
        yield store
