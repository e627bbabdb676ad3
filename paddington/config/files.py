"""Files that hold secrets: read with care, and written so that nobody else ever sees them.

Rule 1. Only the modules of this folder open files.
Rule 2. A file that we write is readable only by its owner from its first byte on, and complete when its name appears:
it is written under a random name in the same directory, synced, and renamed.
Rule 3. A new file replaces what is in its place and is never written through it: a symbolic link that someone planted
there loses only itself. An edit is different: it follows the link that was read, and owner and group stay as they were.
Rule 4. Files that belong together (a configuration and an invitation with keys from it) change together or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from ..errors import ConfigError
from ..text import quoted

MAX_FILE_BYTES: Final = 1024 * 1024
"""Largest configuration file or invitation (security case P74)."""

_MAX_SHOWN_CHARACTERS: Final = 300
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@attrs.frozen
class CheckedFile:
    """The text of a file, and who else can see it.

    Attributes:
        text: The contents.
        path: Its absolute path.
        mode: Permission bits.
    """

    text: str = attrs.field(repr=False)
    path: Path
    mode: int

    def refuse_readable(self, what: str) -> None:
        """Refuse a file with keys that others may read or write.

        Raises:
            ConfigError: Others may; the message names the command that repairs it, and the way past.
        """
        if self.mode & _OTHERS:
            raise ConfigError(
                f"The {what} {_shown(self.path)} holds keys, and its mode {self.mode:04o} lets others read or "
                f"change them. Run: chmod 600 {_shown(self.path)}. If you cannot change its mode, as on a secret "
                "mount, accept it with --allow-readable (in Python: allow_readable=True)"
            )


def read_checked(path: str | os.PathLike[str], what: str = "file") -> CheckedFile:
    """Read a regular file of bounded size that holds UTF-8 text.

    Symbolic links are followed, since secret mounts use them. The mode is not checked: call `refuse_readable` if the
    contents turn out to be secret.

    Args:
        path: The file.
        what: What errors call it.

    Raises:
        ConfigError: The file is missing, not regular, belongs to another user, is too large, or is not UTF-8.
    """
    where = Path(path)
    try:
        # O_NONBLOCK: opening a pipe without a writer must not wait forever.
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
                    f"The {what} {_shown(where.absolute())} belongs to another user. Copy it first, "
                    "or run this command as that user"
                )
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"Cannot read the {what} {_shown(where.absolute())}: {_why(exc)}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"The {what} {_shown(where.absolute())} is larger than {MAX_FILE_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"The {what} {_shown(where.absolute())} is not UTF-8 text (line {line})") from None
    return CheckedFile(text, where.absolute(), stat.S_IMODE(status.st_mode))


@attrs.frozen(kw_only=True)
class NewFile:
    """A file to be written.

    Attributes:
        path: Its path.
        text: The whole contents.
        replace: Whether a file that exists is replaced; otherwise it is an error.
        edit: Whether this is an edit: links are followed, owner and group stay.
        keep_group: Whether an edit leaves a group that is not the editor's own the right to read; otherwise only the
            owner may read the file.
    """

    path: Path = attrs.field(converter=Path)
    text: str = attrs.field(repr=False)
    replace: bool = True
    edit: bool = False
    keep_group: bool = False

    @property
    def target(self) -> Path:
        """The path that is written."""
        return Path(os.path.realpath(self.path)) if self.edit else self.path.absolute()


def write_private(path: str | os.PathLike[str], text: str) -> None:
    """Write a file of mode 0600, whole or not at all; missing directories are made with mode 0700.

    Args:
        path: Where to write; what is there is replaced.
        text: The whole contents.

    Raises:
        ConfigError: It cannot be written; what was there before is untouched.
    """
    write_files([NewFile(path=Path(path), text=text)])


def write_files(files: Sequence[NewFile]) -> None:
    """Write files that belong together: all of them, or none.

    Everything that can fail for want of room or permission is done before the first file gets its name. If a later one
    cannot take its place, the earlier ones are taken back. After a crash in between, the first files are there and the
    last ones are not, so list the one that the others depend on last.

    Raises:
        ConfigError: One of them cannot be written; nothing was changed.
    """
    with contextlib.ExitStack() as cleanup:
        staged = [_stage(file, cleanup) for file in files]
        undo: list[tuple[Path, Path | None]] = []
        try:
            for index, (file, temporary) in enumerate(staged):
                backup = _backup(file, cleanup) if index < len(staged) - 1 else None
                _place(file, temporary)
                undo.append((file.target, backup))
        except BaseException:
            for target, backup in reversed(undo):
                with contextlib.suppress(OSError):
                    if backup is None:
                        target.unlink()
                    else:
                        os.replace(backup, target)
            raise
    for directory in {file.target.parent for file in files}:
        with contextlib.suppress(OSError):  # written already; some file systems cannot sync a directory
            _sync_directory(directory)


def _stage(file: NewFile, cleanup: contextlib.ExitStack) -> tuple[NewFile, Path]:
    """Write a file under another name, with its final owner and mode."""
    try:
        target = file.target
        _make_directories(target.parent)
        temporary = _neighbour(target)
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        cleanup.callback(_remove, temporary)
        with open(descriptor, "wb") as output:
            os.fchmod(descriptor, 0o600)  # the umask may have removed the owner's bits
            output.write(file.text.encode("utf-8"))
            output.flush()
            if file.edit:
                _keep_owner(descriptor, target, keep_group=file.keep_group)
            os.fsync(descriptor)
    except ConfigError:
        raise
    except UnicodeEncodeError:
        raise ConfigError(
            f"Cannot write {_shown(file.path.absolute())}: a value in it has no UTF-8 form, perhaps because it was given "
            "in another encoding. Nothing was changed"
        ) from None
    except (OSError, ValueError) as exc:
        raise _cannot_write(file, exc) from None
    return file, temporary


def _keep_owner(descriptor: int, target: Path, *, keep_group: bool) -> None:
    try:
        old = os.stat(target)
    except FileNotFoundError:
        return
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError:
            raise ConfigError(
                f"{_shown(target)} belongs to user {old.st_uid} and group {old.st_gid}, which an edit by this user "
                "would change. Nothing was changed; run the command as that user or as root"
            ) from None
    if keep_group and old.st_gid != os.getegid():
        os.fchmod(descriptor, 0o600 | old.st_mode & stat.S_IRGRP)


def _backup(file: NewFile, cleanup: contextlib.ExitStack) -> Path | None:
    """Return a file that will be replaced a second name, from which it can be put back."""
    target = file.target
    if not target.is_symlink() and not target.exists():
        return None
    backup = _neighbour(target)
    try:
        os.link(target, backup, follow_symlinks=False)
    except OSError as exc:
        raise _cannot_write(file, exc) from None
    cleanup.callback(_remove, backup)
    return backup


def _place(file: NewFile, temporary: Path) -> None:
    try:
        if file.replace:
            os.replace(temporary, file.target)
        else:
            os.link(temporary, file.target)
    except FileExistsError:
        raise ConfigError(f"There is a file {_shown(file.target)} already. Nothing was changed") from None
    except OSError as exc:
        raise _cannot_write(file, exc) from None


def _cannot_write(file: NewFile, exc: OSError | ValueError) -> ConfigError:
    where = _shown(file.path.absolute())
    advice = ""
    if isinstance(exc, OSError):
        match exc.errno:
            case errno.EBUSY:
                advice = (
                    "; it is mounted as a single file, which cannot be replaced. Edit the file from which it is mounted, "
                    "or mount its directory instead"
                )
            case errno.EROFS | errno.EACCES | errno.EPERM:
                advice = (
                    f"; the directory {_shown(file.target.parent)} must be writable, "
                    "because files are replaced as a whole"
                )
            case errno.ENOSPC | errno.EDQUOT:
                advice = "; make room and try again"
            case _:
                pass
    return ConfigError(f"Cannot write {where}: {_why(exc)}{advice}. Nothing was changed")


def _neighbour(target: Path) -> Path:
    return target.parent / f".{target.name[:100]}.{secrets.token_hex(8)}"


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


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
    return (exc.strerror or type(exc).__name__) if isinstance(exc, OSError) else "the name contains a NUL"


def _shown(path: Path) -> str:
    return quoted(str(path), _MAX_SHOWN_CHARACTERS)
