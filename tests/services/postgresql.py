"""A PostgreSQL server of our own on a Unix socket, to be killed, frozen, restarted and set back."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg


def programs() -> Path:
    """Where the programs of the server are: the newest version of Debian's, or those on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    assert named is not None, "PostgreSQL is not installed: run tests/services/install"
    return Path(named).parent


class Server:
    """One server with its data in a directory; made by `started` or `standby`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = home / "data"
        self._bin = programs()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        self._user = None  # the server refuses to run as root
        if os.geteuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            self._user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(home, self._user)

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Server]:
        """Make a server and start it; at the end it is stopped and removed."""
        home = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # the path of a socket must be short
        home.chmod(0o755)
        server = cls(home)
        try:
            server.run(
                "initdb",
                "-D",
                server.data,
                "-U",
                "tester",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
                "--no-locale",
            )
            server.start()
            yield server
        finally:
            server.kill()
            shutil.rmtree(home, ignore_errors=True)

    @contextmanager
    def standby(self) -> Iterator[Server]:
        """Copy the server to a standby that follows it, and start that."""
        home = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        home.chmod(0o755)
        other = type(self)(home)
        try:
            other.run(
                "pg_basebackup",
                "-h",
                self.home,
                "-U",
                "tester",
                "-D",
                other.data,
                "-R",
                "-c",
                "fast",
                "--no-sync",
            )
            other.start(wait_for_writes=False)
            yield other
        finally:
            other.kill()
            shutil.rmtree(home, ignore_errors=True)

    def run(self, program: str, *args: object) -> None:
        """Run one of the server's programs to its end."""
        subprocess.run(
            [self._bin / program, *map(str, args)],
            user=self._user,
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def url(self, name: str = "postgres") -> str:
        """The URL of a database."""
        return f"postgresql://tester@/{name}?host={self.home}"

    def start(self, *settings: str, wait_for_writes: bool = True) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        # Nobody cuts the power, and SIGKILL loses nothing that the operating system has.
        options = ["listen_addresses=", "fsync=off", "shared_buffers=16MB", "max_connections=50", *settings]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._bin / "postgres",
                    "-D",
                    self.data,
                    "-k",
                    self.home,
                    *(f"-c{option}" for option in options),
                ],
                user=self._user,
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        mode = "read-write" if wait_for_writes else "any"
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2, target_session_attrs=mode).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.home / "log").read_text()[-1000:]
                time.sleep(0.05)
            else:
                return

    def _children(self) -> list[int]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(number) for number in children.read_text().split()] if children.exists() else []

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        for process in [self._process.pid, *self._children()]:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def kill(self) -> None:
        """End it with SIGKILL, all its processes at once."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """Shut it down; sessions are ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)

    def freeze(self) -> None:
        """Stop all its processes, as a machine that hangs."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def promote(self) -> None:
        """Make a standby take writes."""
        self.run("pg_ctl", "promote", "-D", self.data, "-w")

    def execute(self, statement: str, name: str = "postgres") -> list[tuple]:
        """Execute one statement."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)
