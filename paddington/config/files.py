"""Files that hold secrets: read with care, written so that nobody else ever sees them.

Rule 1. This is the only module of paddington that opens files.
Rule 2. A file that we write is readable by its owner alone from its first byte on, and complete from the
moment its name shows: written under a random name opened exclusively in the same directory, synced, renamed
over the old one.
Rule 3. What stands at the target is replaced, never written through: a symbolic link planted there loses only
itself.
"""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import attrs

from ..errors import ConfigError
from ..text import quoted

LARGEST = 1024 * 1024
"""Largest configuration file or invite, in bytes (security case P74)."""

_LONGEST_SHOWN = 300
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@attrs.frozen
class Checked:
    """Text of a file, and who else can see it.

    Attributes:
        text: The contents.
        path: Where it was.
        mode: Permission bits.
    """

    text: str = attrs.field(repr=False)
    path: Path
    mode: int

    def refuse_readable(self, what: str) -> None:
        """Refuse a file with keys in it that others may read or write.

        Raises:
            ConfigError: It is one; the message names the command that mends it.
        """
        if self.mode & _OTHERS:
            raise ConfigError(
                f"The {what} {_shown(self.path)} holds keys, and its mode {self.mode:04o} lets others "
                f"at them. Run: chmod 600 {_shown(self.path)}"
            )


def read_checked(path: str | os.PathLike[str], what: str = "file") -> Checked:
    """Read a regular file of bounded size that is UTF-8 text.

    A symbolic link is followed, since secret mounts use them. Nothing is judged about the mode: call
    `refuse_readable` where the contents turn out to be secret.

    Args:
        path: Where it is.
        what: How errors call it.

    Raises:
        ConfigError: There is no such file, it is no regular file, belongs to a stranger, is too large or no
        UTF-8 text.
    """
    where = Path(path)
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to must not wait for ever.
        descriptor = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as exc:
        raise ConfigError(f"Cannot read the {what} {_shown(where.absolute())}: {_why(exc)}") from None
    try:
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"The {what} {_shown(where.absolute())} is not a regular file")
            if os.geteuid() not in (0, status.st_uid) and status.st_uid != 0:
                raise ConfigError(
                    f"The {what} {_shown(where.absolute())} belongs to another user. Copy it first"
                )
            data = file.read(LARGEST + 1)
    except OSError as exc:
        raise ConfigError(f"Cannot read the {what} {_shown(where.absolute())}: {_why(exc)}") from None
    if len(data) > LARGEST:
        raise ConfigError(f"The {what} {_shown(where.absolute())} is larger than {LARGEST} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"The {what} {_shown(where.absolute())} is not UTF-8 text (line {line})") from None
    return Checked(text, where.absolute(), stat.S_IMODE(status.st_mode))


def write_private(path: str | os.PathLike[str], text: str) -> None:
    """Write a file of mode 0600 in one step that either happens or does not.

    Directories that are missing are made with mode 0700.

    Args:
        path: Where it shall be; what is there is replaced.
        text: The whole contents.

    Raises:
        ConfigError: It cannot be written; what was there before is untouched.
    """
    where = Path(path).absolute()
    try:
        _make_directories(where.parent)
        temporary = where.parent / f".{where.name[:100]}.{secrets.token_hex(8)}"
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)  # the umask may have taken the owner's bits
                file.write(text.encode("utf-8"))
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, where)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_directory(where.parent)
    except (OSError, ValueError) as exc:
        raise ConfigError(f"Cannot write {_shown(where)}: {_why(exc)}") from None


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold off others who edit files in the same directory, while reading, changing and writing one of them.

    The lock is on the directory, so that it leaves no file behind and survives the renaming of the file
    itself. It is advisory and per open: not for use twice in one task.

    Raises:
        ConfigError: The directory cannot be opened or locked.
    """
    directory = Path(path).absolute().parent
    try:
        _make_directories(directory)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise ConfigError(f"Cannot open the directory {_shown(directory)}: {_why(exc)}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as exc:
            raise ConfigError(f"Cannot lock the directory {_shown(directory)}: {_why(exc)}") from None
        yield
    finally:
        os.close(descriptor)


def _make_directories(directory: Path) -> None:
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(each, 0o700)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(exc: OSError | ValueError) -> str:
    return (exc.strerror or type(exc).__name__) if isinstance(exc, OSError) else "the name has a NUL in it"


def _shown(path: Path) -> str:
    return quoted(str(path), _LONGEST_SHOWN)
