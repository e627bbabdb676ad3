"""Editing a file while others wait: a lock from reading it to replacing it.

The lock is on the file itself, which only its owner may open (mode 0600), and not on the directory: any account that
may list a directory can lock it. The file is replaced by each edit, so after locking we look whether the name still
means the file that we locked, and begin again if not. The lock is advisory, and per open file: do not take it twice in
one task.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ..errors import ConfigError
from ..text import quoted

NOTICE_SECONDS: Final = 2.0
"""How long we wait for another editor before we say who it is."""

PATIENCE_SECONDS: Final = 10.0
"""How long we wait for another editor in all."""

POLL_SECONDS: Final = 0.05

_FLOCK: Final = re.compile(r"\d+: FLOCK +ADVISORY +\w+ +(\d+) +[0-9a-f]+:[0-9a-f]+:(\d+) ")
_MAX_SHOWN_CHARACTERS: Final = 300


def _ignore(_: str) -> None:
    pass


@contextlib.contextmanager
def locked(
    path: str | os.PathLike[str],
    *,
    notice_seconds: float = NOTICE_SECONDS,
    patience_seconds: float = PATIENCE_SECONDS,
    notify: Callable[[str], None] = _ignore,
) -> Iterator[None]:
    """Hold off others who edit the same file, while reading, changing and replacing it.

    A file that does not exist yet is not locked; create it in a way that fails if it exists.

    Args:
        path: The file; links are followed.
        notice_seconds: How long to wait before `notify` is called.
        patience_seconds: How long to wait in all.
        notify: Called once with a sentence that says who holds the lock.

    Raises:
        ConfigError: The file cannot be opened, or somebody else held the lock all the time.
    """
    target = Path(os.path.realpath(path))
    began, noticed = time.monotonic(), False
    while True:
        descriptor = _open(target)
        if descriptor is None:
            yield
            return
        try:
            if _try_lock(descriptor, target):
                yield
                return
            waited = time.monotonic() - began
            if waited >= min(notice_seconds, patience_seconds) and not noticed:
                noticed = True
                notify(f"{_shown(target)} is being edited by {_holder(descriptor)}; waiting for it")
            if waited >= patience_seconds:
                raise ConfigError(
                    f"{_shown(target)} has been locked by {_holder(descriptor)} for {patience_seconds:g} s. "
                    "Nothing was changed; end that process, or wait for it, and try again"
                )
        finally:
            os.close(descriptor)
        time.sleep(POLL_SECONDS)


def _open(target: Path) -> int | None:
    flags = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        try:
            # Network file systems grant an exclusive lock only to writers.
            return os.open(target, os.O_RDWR | flags)
        except OSError:
            return os.open(target, os.O_RDONLY | flags)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigError(f"Cannot open {_shown(target)}: {exc.strerror}") from None


def _try_lock(descriptor: int, target: Path) -> bool:
    """Take the lock if it is free and still that of the file with this name."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        raise ConfigError(f"Cannot lock {_shown(target)}: {exc.strerror}") from None
    ours = os.fstat(descriptor)
    try:
        named = os.stat(target)
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)


def _holder(descriptor: int) -> str:
    """Describe who holds the lock of an open file, as far as the system tells."""
    inode = str(os.fstat(descriptor).st_ino)
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            found = _FLOCK.match(line)
            if found is not None and found[2] == inode:
                name = ""
                with contextlib.suppress(OSError):
                    name = Path(f"/proc/{found[1]}/comm").read_text(errors="replace").strip()
                return f"process {found[1]}" + (f" ({quoted(name)})" if name else "")
    return "another process"


def _shown(path: Path) -> str:
    return quoted(str(path), _MAX_SHOWN_CHARACTERS)
