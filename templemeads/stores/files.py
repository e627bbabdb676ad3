"""The file of a store: who holds it, and whether it is still the one that was opened.

Two locks keep a second agent out: one on a lock file beside the database, which earlier versions use too, and one on the
database file itself, which no link and no removed lock file gets around. The lock file also holds the number of commits
that were confirmed. It is written without waiting for the disk, so after a power cut it may be too low, never too high;
when it is higher than the number in the database, commits were lost.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import StoreError

Identity = tuple[int, int]
"""Device and inode of a file."""


class FileLock:
    """The locks on a database file, from before it is opened until after it is closed.

    Args:
        path: The database, which is made if it is not there (mode 0600) unless `must_exist`.
        must_exist: Refuse a file that is not there.

    Raises:
        StoreError: Another process holds it, it has two names, or it cannot be opened.
    """

    def __init__(self, path: Path, *, must_exist: bool = False) -> None:
        self.path = Path(os.path.realpath(path))
        self._lock_path = Path(f"{self.path}.lock")
        if must_exist and not self.path.exists():
            raise StoreError(f"There is no store {self.path}")
        self._lock_file = self._open(self._lock_path, os.O_NOFOLLOW, "locked")
        try:
            self._lock(self._lock_file, self._lock_path)
            # Closing any descriptor of a file drops SQLite's own locks in the same process, so this one stays open for
            # longer than the connection.
            self._database = self._open(self.path, 0, "opened")
        except StoreError:
            os.close(self._lock_file)
            raise
        try:
            self._check_file()
            self._lock(self._database, self.path)
        except StoreError:
            self.close()
            raise
        self.was_empty = os.fstat(self._database).st_size == 0
        self._identities: dict[Path, Identity] = {}

    def _open(self, path: Path, flags: int, verb: str) -> int:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
        except OSError as error:
            raise StoreError(f"The store {self.path} cannot be {verb}: {error.strerror}: {path}") from error

    def _lock(self, descriptor: int, path: Path) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise StoreError(
                    f"The store {self.path} cannot be locked: {error.strerror}: {path}"
                ) from error
            raise StoreError(
                f"The store {self.path} is in use by another process{_named(holders(path))}: an agent with this "
                f"configuration is running already"
            ) from error

    def _check_file(self) -> None:
        found = os.fstat(self._database)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"The store {self.path} is not a regular file")
        if found.st_nlink > 1:
            raise StoreError(
                f"The store {self.path} has {found.st_nlink} names (hard links). SQLite keeps one write-ahead log for each "
                f"name, so jobs would be lost: remove the other names, or copy the file"
            )

    def remember(self, *paths: Path) -> None:
        """Remember which files are in use now, for `check`.

        Raises:
            StoreError: One of them is not there.
        """
        found = os.fstat(self._database)
        self._identities = {self.path: (found.st_dev, found.st_ino)}
        for path in paths:
            self._identities[path] = self._identity(path)
        self.check()

    def check(self) -> None:
        """Check that the files that are in use still have their names.

        Raises:
            StoreError: One of them was removed, renamed or replaced.
        """
        for path, identity in self._identities.items():
            if self._identity(path) != identity:
                raise StoreError(
                    f"the file {path} was replaced while the agent was running, so what is written would be lost"
                )

    def _identity(self, path: Path) -> Identity:
        try:
            found = os.stat(path)
        except OSError as error:
            raise StoreError(
                f"the file {path} was removed or renamed while the agent was running, so what is written would be lost"
                if error.errno == errno.ENOENT
                else f"the file {path} cannot be looked at: {error.strerror}"
            ) from error
        return found.st_dev, found.st_ino

    def confirmed(self, number: int) -> None:
        """Note how many commits were confirmed."""
        with contextlib.suppress(
            OSError
        ):  # a disk without room for these bytes: the number stays too low, which is safe
            os.pwrite(self._lock_file, _record(number), 0)

    def number(self) -> int:
        """Return how many commits were confirmed, as far as is known; 0 if it is not."""
        data = os.pread(self._lock_file, 64, 0)
        digits = data.split(b" ", 1)[0]
        return int(digits) if digits.isdigit() and data.startswith(_record(int(digits))) else 0

    def check_number(self, number: int) -> None:
        """Check that no confirmed commit is missing.

        Raises:
            StoreError: Fewer commits are there than were confirmed.
        """
        if number < (confirmed := self.number()):
            raise StoreError(
                f"The store {self.path} lacks the last {confirmed - number} of {confirmed} commits, which were confirmed: "
                f"its write-ahead log {self.path}-wal was removed or damaged, or an older copy was put in its place. "
                f"Restore both files from one backup; or, to go on without what is missing, remove {self._lock_path}"
            )

    def close(self) -> None:
        """Unlock the file."""
        os.close(self._database)
        os.close(self._lock_file)


def _record(number: int) -> bytes:
    digits = b"%d" % number
    return b"%s %08x commits confirmed\n" % (digits, zlib.crc32(digits))


def holders(*paths: Path) -> list[str]:
    """Return the other processes that hold a lock for writing on one of the files, as `name (process 123)`.

    Empty where the system does not say (it does on Linux).
    """
    inodes = set()
    for path in paths:
        with contextlib.suppress(OSError):
            found = os.stat(path)
            inodes.add((os.major(found.st_dev), os.minor(found.st_dev), found.st_ino))
    return sorted({_process(number) for number in _lock_owners(inodes) if number != os.getpid()})


def _lock_owners(inodes: set[tuple[int, int, int]]) -> Iterator[int]:
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split()  # 1: POSIX ADVISORY WRITE 4711 08:01:131074 120 120
        if len(words) < 6 or words[3] != "WRITE" or not words[4].isdigit():
            continue
        with contextlib.suppress(ValueError):
            major, minor, inode = words[5].split(":")
            if (int(major, 16), int(minor, 16), int(inode)) in inodes:
                yield int(words[4])


def _process(number: int) -> str:
    try:
        name = Path(f"/proc/{number}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"process {number}"
    return f"process {number}, {ascii(name)[1:-1]}"


def _named(found: list[str]) -> str:
    return f" ({'; '.join(found)})" if found else ""


def blame(*paths: Path) -> str:
    """Say which processes hold a file locked, or how to find out."""
    found = holders(*paths)
    if found:
        return f"{'; '.join(found)}, holds it locked"
    return f"another process, such as a backup or an sqlite3 shell, holds it locked (find it with: fuser {paths[0]})"
