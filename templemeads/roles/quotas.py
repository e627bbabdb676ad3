"""Quota engines of the filesystem agent: one small class a kind, behind one protocol.

`linux` asks setquota and repquota, `xfs` xfs_quota, `lustre` lfs; `fake`, for trying things out, remembers limits in a
directory and measures with du; `none` knows no limits. Users are limited by their local user, projects by their local group.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import attrs
import trio

from paddington.config.toml import TableReader

from ..errors import JobError, ParseError
from ..grammar.storage import Quota, QuotaLimit, StorageSize
from ..text import quoted
from .programs import Programs, Ran
from .volumes import Volume

KIB: Final = 1024

MAX_FAKE_BYTES: Final = 4096
"""Bytes of a file of the fake engine."""

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*")


@attrs.frozen
class Holder:
    """Whose quota it is.

    Attributes:
        name: The local user, or the local group of a project.
        is_user: Which of the two.
        directories: The directories that are theirs on the volume.
    """

    name: str
    is_user: bool
    directories: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        """Check the name: programs split some of their arguments into words by themselves."""
        if not _NAME.fullmatch(self.name):
            raise JobError(f"{quoted(self.name)} cannot have a quota", kind="invalid")

    @property
    def flag(self) -> str:
        """The option by which programs tell users from groups."""
        return "-u" if self.is_user else "-g"


class QuotaEngine(Protocol):
    """What limits storage."""

    async def read(self, volume: Volume, holder: Holder) -> Quota:
        """Return the limit and what is used."""

    async def write(self, volume: Volume, holder: Holder, limit: QuotaLimit) -> None:
        """Set the limit."""


def _kib(limit: QuotaLimit) -> int:
    """The limit in KiB, for programs in which 0 means none; so a limit of nothing becomes the least that there is."""
    return 0 if limit.size is None else max(1, -(-limit.size.bytes // KIB))


def _quota(limit_kib: int, used_kib: int) -> Quota:
    limit = QuotaLimit(StorageSize(limit_kib * KIB)) if limit_kib else QuotaLimit()
    return Quota(limit, StorageSize(used_kib * KIB))


def _count(text: str, ran: Ran) -> int:
    digits = text.strip().rstrip("*")  # a star marks who is over the limit
    if not (digits.isascii() and digits.isdigit()):
        raise JobError(f"{ran.words[0]} wrote {quoted(text)} in place of a number of KiB")
    return int(digits)


@attrs.frozen
class NoQuotas:
    """Knows no limits."""

    async def read(self, volume: Volume, holder: Holder) -> Quota:
        """Return no limit."""
        return Quota(QuotaLimit())

    async def write(self, volume: Volume, holder: Holder, limit: QuotaLimit) -> None:
        """Refuse limits, since nothing would hold anybody to them."""
        if not limit.is_unlimited:
            raise JobError(f"The volume {volume.name} has no quotas")


@attrs.frozen
class LinuxQuotas:
    """Quotas of ext4 and others, by setquota and repquota.

    Attributes:
        programs: What runs programs.
        filesystem: Mount point or device.
        setquota: The program, with arguments.
        repquota: Likewise.
    """

    programs: Programs
    filesystem: str
    setquota: tuple[str, ...] = ("setquota",)
    repquota: tuple[str, ...] = ("repquota",)

    async def read(self, volume: Volume, holder: Holder) -> Quota:
        """Look the holder up in the report; one that is not there uses nothing and has no limit."""
        ran = await self.programs.run([*self.repquota, holder.flag, "-O", "csv", self.filesystem])
        rows = list(csv.DictReader(io.StringIO(ran.require().output)))
        name = "User" if holder.is_user else "Group"
        for row in rows:
            if row.get(name) == holder.name:
                return _quota(
                    _count(row.get("BlockHardLimit") or "", ran), _count(row.get("BlockUsed") or "", ran)
                )
        return _quota(0, 0)

    async def write(self, volume: Volume, holder: Holder, limit: QuotaLimit) -> None:
        """Set the hard limit."""
        words = [*self.setquota, holder.flag, holder.name, "0", str(_kib(limit))]
        words += ["0", str(volume.inode_limit or 0), self.filesystem]
        (await self.programs.run(words)).require()


@attrs.frozen
class XfsQuotas:
    """Quotas of XFS, by xfs_quota.

    Attributes:
        programs: What runs programs.
        xfs_quota: The program, with arguments.
    """

    programs: Programs
    xfs_quota: tuple[str, ...] = ("xfs_quota",)

    async def read(self, volume: Volume, holder: Holder) -> Quota:
        """Ask for one holder; an empty answer means that it uses nothing and has no limit."""
        ran = await self._run(f"quota {holder.flag} -b -N -v {holder.name}", volume)
        words = ran.output.split()
        if not words:
            return _quota(0, 0)
        if len(words) < 4:
            raise JobError(f"xfs_quota wrote {quoted(ran.output)}, which is not a quota")
        return _quota(_count(words[3], ran), _count(words[1], ran))

    async def write(self, volume: Volume, holder: Holder, limit: QuotaLimit) -> None:
        """Set the hard limit."""
        inodes = volume.inode_limit or 0
        await self._run(f"limit {holder.flag} bhard={_kib(limit)}k ihard={inodes} {holder.name}", volume)

    async def _run(self, command: str, volume: Volume) -> Ran:
        ran = await self.programs.run([*self.xfs_quota, "-x", "-c", command, volume.mount])
        ran.require()
        if ran.errors.strip():  # xfs_quota complains and ends with 0
            raise JobError(f"xfs_quota failed: {ran.errors.strip()[:2000]}")
        return ran


@attrs.frozen
class LustreQuotas:
    """Quotas of Lustre, by lfs.

    Attributes:
        programs: What runs programs.
        lfs: The program, with arguments.
        timeout: Seconds that one command may take.
        limiter: How many run at once.
        project_ids: Volumes that are limited by project ids, which is not supported.
    """

    programs: Programs
    lfs: tuple[str, ...] = ("lfs",)
    timeout: float = 30.0
    limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(4), eq=False)
    project_ids: frozenset[str] = frozenset()

    async def read(self, volume: Volume, holder: Holder) -> Quota:
        """Ask for one holder."""
        ran = await self._run(volume, "quota", "-q", holder.flag, holder.name, volume.mount)
        words = ran.output.split()
        if len(words) < 4:
            raise JobError(f"lfs wrote {quoted(ran.output)}, which is not a quota")
        return _quota(_count(words[3], ran), _count(words[1], ran))

    async def write(self, volume: Volume, holder: Holder, limit: QuotaLimit) -> None:
        """Set the hard limit."""
        inodes = ["-I", str(volume.inode_limit)] if volume.inode_limit else []
        await self._run(
            volume, "setquota", holder.flag, holder.name, "-B", f"{_kib(limit)}k", *inodes, volume.mount
        )

    async def _run(self, volume: Volume, *words: str) -> Ran:
        if volume.name in self.project_ids:
            raise JobError(
                f"The volume {volume.name} has an id strategy: quotas by Lustre's project ids are not supported"
            )
        async with self.limiter:
            return (await self.programs.run([*self.lfs, *words], timeout=self.timeout)).require()


@attrs.frozen
class FakeQuotas:
    """Remembers limits and holds nobody to them; for trying things out.

    Attributes:
        programs: What runs programs.
        directory: Where limits are remembered.
        du: The program that measures, with arguments.
    """

    programs: Programs
    directory: Path
    du: tuple[str, ...] = ("du",)

    async def read(self, volume: Volume, holder: Holder) -> Quota:
        """Return what is remembered, and what du measures of the directories that exist."""
        limit = await trio.to_thread.run_sync(self._remembered, volume, holder)
        used = 0
        directories = [each for each in holder.directories if await trio.Path(each).is_dir()]
        if directories:
            ran = await self.programs.run([*self.du, "-s", "-k", "--", *directories])
            used = sum(_count(line.split()[0], ran) for line in ran.require().output.splitlines() if line)
        return Quota(limit, StorageSize(used * KIB))

    async def write(self, volume: Volume, holder: Holder, limit: QuotaLimit) -> None:
        """Remember the limit."""
        await trio.to_thread.run_sync(self._remember, volume, holder, limit)

    def _file(self, volume: Volume, holder: Holder) -> Path:
        kind = "user" if holder.is_user else "project"
        safe = "".join(c if c.isascii() and c.isalnum() else f"%{ord(c):x}" for c in volume.name)
        return self.directory / f"{kind}-{safe}-{holder.name}.json"

    def _remembered(self, volume: Volume, holder: Holder) -> QuotaLimit:
        try:
            with self._file(volume, holder).open() as file:
                return QuotaLimit.parse(json.loads(file.read(MAX_FAKE_BYTES)))
        except FileNotFoundError:
            return QuotaLimit()
        except (OSError, ValueError, ParseError) as error:
            raise JobError(f"The remembered quota of {holder.name} cannot be read: {error}") from error

    def _remember(self, volume: Volume, holder: Holder, limit: QuotaLimit) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._file(volume, holder)
            handle, temporary = tempfile.mkstemp(dir=self.directory)
            with os.fdopen(handle, "w") as file:
                file.write(json.dumps(str(limit)))
            Path(temporary).replace(path)
        except OSError as error:
            raise JobError(f"The quota of {holder.name} cannot be remembered: {error}") from error


def read_engines(tables: Mapping[str, Any], programs: Programs) -> dict[str, QuotaEngine]:
    """Read the root table `[quota_engines]`.

    Raises:
        ConfigError: Something is missing or wrong; the message says where.
    """
    reader = TableReader(tables, "The configuration").optional_table("quota_engines")
    if reader is None:
        return {}
    return {name: _read_engine(reader.table(name), programs) for name in reader.values}


def _read_engine(table: TableReader, programs: Programs) -> QuotaEngine:
    match table.text("type"):
        case "none":
            return NoQuotas()
        case "linux":
            return LinuxQuotas(
                programs, table.text("filesystem"), _words(table, "setquota"), _words(table, "repquota")
            )
        case "xfs":
            return XfsQuotas(programs, _words(table, "xfs_quota"))
        case "lustre":
            runners = table.integer("max_runners", 1, 1000) if table.has("max_runners") else 4
            seconds = (
                table.integer("command_timeout_secs", 1, 86400) if table.has("command_timeout_secs") else 30
            )
            strategies = table.optional_table("id_strategies")
            return LustreQuotas(
                programs,
                _words(table, "lfs_command", "lfs"),
                float(seconds),
                trio.CapacityLimiter(runners),
                frozenset() if strategies is None else frozenset(strategies.values),
            )
        case "fake":
            default = str(Path(tempfile.gettempdir()) / "openportal-fakequota")
            return FakeQuotas(
                programs, Path(table.optional_text("quota_dir") or default), _words(table, "du")
            )
        case other:
            raise table.error("type", f"must be one of linux, xfs, lustre, fake, none, not {quoted(other)}")


def _words(table: TableReader, key: str, default: str | None = None) -> tuple[str, ...]:
    words = tuple((table.optional_text(key) or default or key).split())
    if not words:
        raise table.error(key, "must be a program, perhaps with arguments")
    return words
