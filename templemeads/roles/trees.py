"""Makes, links and recycles directories: by the system's calls, or by programs behind a prefix.

`SystemTree` walks from a configured root downwards and opens every name without following a symbolic link, so whatever a
user has put in the way, nothing outside the root is made, changed or moved. What is opened is what is changed: there is no
moment in which a name could be exchanged. `ProgramTree` serves the option `exec-prefix`; it cannot promise the last
sentence.

Both finish what was left half-made: a directory that is there gets the owner and mode that it shall have.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shutil
import stat
from collections.abc import Callable
from typing import Protocol, TypeVar

import attrs
import trio

from ..errors import JobError
from .programs import ProgramError, Programs, Ran
from .volumes import RECYCLE, Directory, Link, Place

_T = TypeVar("_T")

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_BELOW = _OPEN | os.O_NOFOLLOW


class Tree(Protocol):
    """What makes directories. Every step may be repeated."""

    async def make(self, directory: Directory) -> None:
        """Make a directory, or take it out of the recycle bin, or repair its owner and mode."""

    async def link(self, link: Link) -> None:
        """Make a symbolic link, or let it point to its target."""

    async def unlink(self, link: Link) -> None:
        """Remove a symbolic link; anything else at its place stays."""

    async def recycle(self, place: Place) -> None:
        """Move a directory into the recycle bin beside it; fine if there is none."""


def system_ids(owner: str, group: str) -> tuple[int, int]:
    """Look the ids of a user and a group up.

    Raises:
        JobError: There is no such user or group.
    """
    try:
        return (0 if owner == "root" else pwd.getpwnam(owner).pw_uid), (
            0 if group == "root" else grp.getgrnam(group).gr_gid
        )
    except KeyError as error:
        raise JobError(f"The directory cannot be given to {owner}:{group}: {error.args[0]}") from None


def repaired_mode(found: int, directory: Directory, *, is_owned: bool) -> int:
    """Return the permissions that a directory gets.

    A user may close his own directory further than it was made; that is kept. Nobody may open it further.
    """
    if is_owned and directory.owner != "root":
        return found & directory.mode
    return directory.mode


@attrs.frozen
class SystemTree:
    """Directories of this machine, by the system's calls in a thread.

    Attributes:
        ids: Looks ids up by the names of a user and a group.
    """

    ids: Callable[[str, str], tuple[int, int]] = system_ids

    async def make(self, directory: Directory) -> None:
        """Make a directory; see `Tree.make`."""
        await trio.to_thread.run_sync(_reporting, self._make, directory, directory.place)

    async def link(self, link: Link) -> None:
        """Make a symbolic link; see `Tree.link`."""
        await trio.to_thread.run_sync(_reporting, _link, link, link.path)

    async def unlink(self, link: Link) -> None:
        """Remove a symbolic link; see `Tree.unlink`."""
        await trio.to_thread.run_sync(_reporting, _unlink, link, link.path)

    async def recycle(self, place: Place) -> None:
        """Move a directory into the recycle bin; see `Tree.recycle`."""
        await trio.to_thread.run_sync(_reporting, _recycle, place, place)

    def _make(self, directory: Directory) -> None:
        owner, group = self.ids(directory.owner, directory.group)
        parent = _open_parent(directory.place)
        name = directory.place.parts[-1]
        try:
            made = not _is_there(parent, name) and not _restore(parent, name)
            if made:
                os.mkdir(name, 0o700, dir_fd=parent)
            opened = os.open(name, _OPEN_BELOW, dir_fd=parent)
        finally:
            os.close(parent)
        try:
            found = os.fstat(opened)
            is_owned = not made and (found.st_uid, found.st_gid) == (owner, group)
            mode = repaired_mode(stat.S_IMODE(found.st_mode), directory, is_owned=is_owned)
            if made or not directory.is_shared:
                # The mode comes first: a directory that has its owner is finished.
                if stat.S_IMODE(found.st_mode) != mode:
                    os.fchmod(opened, mode)
                if not is_owned:
                    os.fchown(opened, owner, group)
        finally:
            os.close(opened)


def _reporting(step: Callable[[_T], None], argument: _T, place: object) -> None:
    try:
        step(argument)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise JobError(
                f"{place}: a symbolic link or a file is in the way, and is not followed"
            ) from error
        raise JobError(f"{place}: {error.strerror or error}") from error


def _open_parent(place: Place) -> int:
    opened = os.open(place.root, _OPEN)
    for part in place.parts[:-1]:
        try:
            below = os.open(part, _OPEN_BELOW, dir_fd=opened)
        finally:
            os.close(opened)
        opened = below
    return opened


def _is_there(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _open_bin(parent: int) -> int:
    """Open a recycle bin, if it is one that this agent made: a user's could hold anything."""
    opened = os.open(RECYCLE, _OPEN_BELOW, dir_fd=parent)
    if os.fstat(opened).st_uid != os.geteuid():
        os.close(opened)
        raise JobError(
            f"There is a directory {RECYCLE} of somebody else, which is not used: look at it and remove it"
        )
    return opened


def _restore(parent: int, name: str) -> bool:
    try:
        recycled = _open_bin(parent)
    except FileNotFoundError:
        return False
    try:
        if not _is_there(recycled, name):
            return False
        os.rename(name, name, src_dir_fd=recycled, dst_dir_fd=parent)
    finally:
        os.close(recycled)
    return True


def _recycle(place: Place) -> None:
    try:
        parent = _open_parent(place)
    except FileNotFoundError:
        return
    name = place.parts[-1]
    try:
        if not _is_there(parent, name):
            return
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "is not a directory")
        if not _is_there(parent, RECYCLE):
            os.mkdir(RECYCLE, 0o700, dir_fd=parent)
        recycled = _open_bin(parent)
        try:
            if _is_there(recycled, name):
                shutil.rmtree(name, dir_fd=recycled)
            os.rename(name, name, src_dir_fd=parent, dst_dir_fd=recycled)
            os.utime(name, dir_fd=recycled, follow_symlinks=False)
        finally:
            os.close(recycled)
    finally:
        os.close(parent)


def _link(link: Link) -> None:
    try:
        found = os.readlink(link.path)
    except FileNotFoundError:
        os.symlink(link.target, link.path)
        return
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise JobError(
                f"{link.path} shall be a link to {link.target}, but something else is there"
            ) from None
        raise
    if found != link.target:
        os.unlink(link.path)
        os.symlink(link.target, link.path)


def _unlink(link: Link) -> None:
    try:
        if stat.S_ISLNK(os.lstat(link.path).st_mode):
            os.unlink(link.path)
    except FileNotFoundError:
        return


@attrs.frozen
class ProgramTree:
    """Directories that are reached by programs behind a prefix, such as `ssh storage` or `sudo`.

    Attributes:
        prefix: The words before each program.
        programs: What runs programs.
    """

    prefix: tuple[str, ...]
    programs: Programs

    async def make(self, directory: Directory) -> None:
        """Make a directory; see `Tree.make`."""
        path, owner = str(directory.place), f"{directory.owner}:{directory.group}"
        if await self._test("-e", path):
            await self._repair(directory)
        elif await self._test("-e", directory.place.recycled):
            await self._run("mv", directory.place.recycled, path)
            await self._repair(directory)
        else:
            await self._run("mkdir", path)
            await self._run("chown", owner, path)
            await self._run("chmod", f"{directory.mode:04o}", path)

    async def _repair(self, directory: Directory) -> None:
        path = str(directory.place)
        ran = await self._start("stat", "-c", "%F|%U:%G|%a", path)
        if ran.status != 0:
            return
        kind, owner, mode = ran.output.strip().split("|")
        if kind != "directory":
            raise JobError(f"{path}: a symbolic link or a file is in the way, and is not followed")
        is_owned = owner == f"{directory.owner}:{directory.group}"
        if directory.is_shared:
            return
        if not is_owned:
            await self._run("chown", "-h", f"{directory.owner}:{directory.group}", path)
        wanted = repaired_mode(int(mode, 8), directory, is_owned=is_owned)
        if int(mode, 8) != wanted:
            await self._run("chmod", f"{wanted:04o}", path)

    async def link(self, link: Link) -> None:
        """Make a symbolic link; see `Tree.link`."""
        if (
            not await self._test("-e", link.path)
            and (await self._start("ln", "-s", link.target, link.path)).status == 0
        ):
            return
        if not await self._test("-L", link.path):
            raise JobError(f"{link.path} shall be a link to {link.target}, but something else is there")
        if (await self._run("readlink", link.path)).output.strip() != link.target:
            await self._run("rm", "-f", link.path)
            await self._run("ln", "-s", link.target, link.path)

    async def unlink(self, link: Link) -> None:
        """Remove a symbolic link; see `Tree.unlink`."""
        if await self._test("-L", link.path):
            await self._run("rm", "-f", link.path)

    async def recycle(self, place: Place) -> None:
        """Move a directory into the recycle bin; see `Tree.recycle`."""
        if not await self._test("-e", str(place)):
            return
        bin_path = place.recycled.rpartition("/")[0]
        if not await self._test("-e", bin_path):
            await self._run("mkdir", bin_path)
        if await self._test("-e", place.recycled):
            await self._run("rm", "-rf", place.recycled)
        await self._run("mv", str(place), place.recycled)
        await self._run("touch", place.recycled)

    async def _test(self, flag: str, path: str) -> bool:
        ran = await self._start("test", flag, path)
        return ran.require(1).status == 0

    async def _start(self, *words: str) -> Ran:
        return await self.programs.run([*self.prefix, *words])

    async def _run(self, *words: str) -> Ran:
        ran = await self._start(*words)
        if ran.status:
            names = " ".join(f"'{word}'" for word in words[1:] if not word.startswith("-"))
            reason = (ran.errors.strip() or ran.output.strip())[:2000]
            raise ProgramError(
                f"{words[0]} {names} failed: exit code {ran.status}, stderr: {reason}", status=ran.status
            )
        return ran
