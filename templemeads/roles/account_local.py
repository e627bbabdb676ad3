"""Accounts of the machine itself, through shadow's programs and `getent`; needs root for all but looking up.

Another system is reached by putting words before the programs: `useradd = "chroot /srv/login useradd"`.
"""

from __future__ import annotations

import json

import attrs

from ..config import AgentConfig
from .account import Groups
from .programs import ProgramError, Programs, Ran, SystemPrograms
from .role import command_option

_NO_SUCH_ENTRY = 2  # of getent
_NO_SUCH_USER = 6  # of userdel, groupdel and usermod
_IN_USE = 9  # of useradd and groupadd


@attrs.frozen
class LocalDirectory:
    """Accounts in the files of a machine.

    Attributes:
        groups: What groups accounts are put into.
        getent: The program, with arguments; so are the others.
        shell: The login shell of new accounts.
        programs: What runs programs.
    """

    groups: Groups
    getent: tuple[str, ...] = ("getent",)
    useradd: tuple[str, ...] = ("useradd",)
    userdel: tuple[str, ...] = ("userdel",)
    usermod: tuple[str, ...] = ("usermod",)
    groupadd: tuple[str, ...] = ("groupadd",)
    groupdel: tuple[str, ...] = ("groupdel",)
    gpasswd: tuple[str, ...] = ("gpasswd",)
    shell: str = "/bin/bash"
    programs: Programs = attrs.field(factory=SystemPrograms, kw_only=True)

    @classmethod
    def from_config(cls, config: AgentConfig, programs: Programs | None = None) -> LocalDirectory:
        """Read the options of the agent.

        Raises:
            ConfigError: One is wrong.
        """
        names = ("getent", "useradd", "userdel", "usermod", "groupadd", "groupdel", "gpasswd")
        commands = {name: command_option(config, name) for name in names}
        return cls(
            Groups.from_config(config),
            **commands,
            shell=config.option("shell", "/bin/bash"),
            programs=programs or SystemPrograms(),
        )

    async def has_user(self, user: str) -> bool:
        """Whether there is an account."""
        return await self._look_up("passwd", user) is not None

    async def members(self, group: str) -> tuple[str, ...] | None:
        """Return the members of a group; None if there is no such group."""
        line = await self._look_up("group", group)
        if line is None:
            return None
        return tuple(name for name in line.rstrip("\n").split(":")[-1].split(",") if name)

    async def group_names(self) -> tuple[str, ...]:
        """Return the names of all groups."""
        ran = await self.programs.run([*self.getent, "group"])
        return tuple(line.split(":", 1)[0] for line in ran.require().output.splitlines() if line)

    async def add_group(self, group: str) -> None:
        """Make a group, unless there is one."""
        _require("groupadd", group, await self.programs.run([*self.groupadd, group]), _IN_USE)

    async def remove_group(self, group: str) -> None:
        """Remove a group; fine if there is none."""
        _require("groupdel", group, await self.programs.run([*self.groupdel, group]), _NO_SUCH_USER)

    async def add_user(self, user: str, home: str) -> None:
        """Make an account with its home directory, unless there is one."""
        words = [*self.useradd, "-d", home, "-m", "-s", self.shell, user]
        _require("useradd", user, await self.programs.run(words), _IN_USE)

    async def remove_user(self, user: str) -> None:
        """Remove an account and keep its home directory; fine if there is none."""
        _require("userdel", user, await self.programs.run([*self.userdel, user]), _NO_SUCH_USER)

    async def add_to_groups(self, user: str, groups: tuple[str, ...]) -> None:
        """Put an account into groups that exist."""
        step = "usermod -aG" if groups != (self.groups.blocked,) else f"usermod -aG {self.groups.blocked}"
        _require(step, user, await self.programs.run([*self.usermod, "-aG", ",".join(groups), user]))

    async def remove_from_group(self, user: str, group: str) -> None:
        """Take an account out of a group."""
        _require("gpasswd -d", user, await self.programs.run([*self.gpasswd, "-d", user, group]))

    async def set_home(self, user: str, home: str) -> None:
        """Change the home directory of an account; moves nothing."""
        _require("usermod -d", user, await self.programs.run([*self.usermod, "-d", home, user]))

    async def lock(self, user: str) -> None:
        """Make the password unusable."""
        _require("usermod -L", user, await self.programs.run([*self.usermod, "-L", user]))

    async def unlock(self, user: str) -> None:
        """Undo `lock`. An account that never had a password stays without one, which usermod calls an error."""
        ran = await self.programs.run([*self.usermod, "-U", user])
        if "passwordless" in ran.errors:
            return
        _require("usermod -U", user, ran)

    async def _look_up(self, database: str, name: str) -> str | None:
        ran = await self.programs.run([*self.getent, database, name])
        if ran.status == _NO_SUCH_ENTRY:
            return None
        return ran.require().output


def _require(step: str, name: str, ran: Ran, *allowed: int) -> None:
    if ran.status == 0 or ran.status in allowed:
        return
    reason = (ran.errors.strip() or ran.output.strip())[:2000]
    raise ProgramError(
        f"{step} failed for {json.dumps(name)[1:-1]!r}: exit code {ran.status}, stderr: {reason}",
        status=ran.status,
    )
