"""The account agent: who has an account, who is in which project, who is blocked.

Where accounts live is a `Directory`: the machine itself (`account_local`) or OpenLDAP (`account_ldap`). Another, such as
FreeIPA, is one more class of that protocol and one more entry of `_BACKENDS`.

A local user is called `<user>.<project>` and a local group `<portal>.<project>`; projects of the portals in
`UNNAMED_PORTALS` have groups named after the project alone. An account that exists and is not in the managed group is
protected: it belongs to an administrator, and is neither changed nor removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import attrs

from paddington import ConfigError

from ..agent.envelope import Envelope
from ..agent.handlers import Handlers
from ..agent_type import AgentType
from ..config import AgentConfig
from ..errors import JobError, ParseError
from ..grammar import (
    AddProject,
    AddUser,
    BlockUser,
    GetProjectMapping,
    GetProjects,
    GetUserMapping,
    GetUsers,
    IsBlockedUser,
    IsExistingProject,
    IsExistingUser,
    IsProtectedUser,
    PortalIdentifier,
    ProjectIdentifier,
    ProjectMapping,
    RemoveProject,
    RemoveUser,
    UnblockUser,
    UpdateHomedir,
    UserIdentifier,
    UserMapping,
)
from ..text import quoted
from .role import PerAgent, ask_sender, list_option, run_role

UNNAMED_PORTALS: Final = frozenset({"openportal", "system", "instance"})
"""Portals whose projects have groups without the portal in their name."""

OPTIONS: Final = (
    *("backend", "managed-group", "system-groups", "instance-groups"),
    *("useradd", "userdel", "groupadd", "groupdel", "usermod", "getent", "gpasswd"),
    *(
        "ldap-url",
        "ldap-base",
        "ldap-user",
        "ldap-password-file",
        "ldap-people",
        "ldap-groups",
        "ldap-start-tls",
    ),
    *("first-id", "last-id", "shell"),
)
"""The options under `[extras]`."""


# -- names (pure) ----------------------------------------------------------------------------------------------------------


def group_of(project: ProjectIdentifier) -> str:
    """Return the local group of a project."""
    if project.portal in UNNAMED_PORTALS:
        return project.project
    return f"{project.portal}.{project.project}"


def map_project(project: ProjectIdentifier) -> ProjectMapping:
    """Return a project with its local group.

    Raises:
        JobError: The name of the group would be too long.
    """
    try:
        return ProjectMapping(project, group_of(project))
    except ParseError as error:
        raise JobError(f"{project} cannot have a local group: {error}", kind="invalid") from error


def map_user(user: UserIdentifier) -> UserMapping:
    """Return a user with the local user and group.

    Raises:
        JobError: One of the names would be too long.
    """
    try:
        return UserMapping(user, f"{user.username}.{user.project}", group_of(user.project_identifier))
    except ParseError as error:
        raise JobError(f"{user} cannot have a local account: {error}", kind="invalid") from error


def project_of(group: str, portal: PortalIdentifier) -> ProjectMapping | None:
    """Return the project of a portal that a local group belongs to, if it does."""
    prefix = f"{portal.portal}."
    if not group.startswith(prefix):
        return None
    try:
        return ProjectMapping(ProjectIdentifier(group[len(prefix) :], portal.portal), group)
    except ParseError:
        return None


def user_of(member: str, project: ProjectIdentifier) -> UserMapping | None:
    """Return the user of a project whom a member of its group stands for; None for anybody else."""
    suffix = f".{project.project}"
    if not member.endswith(suffix):
        return None
    try:
        return map_user(UserIdentifier(member[: -len(suffix)], project.project, project.portal))
    except (ParseError, JobError):
        return None


def instance_group(sender: str, zone: str) -> str:
    """Return the group of everybody whom an instance has added, such as `op_cluster_default`."""
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in f"{sender}@{zone}")
    return f"op_{name}"


@attrs.frozen
class Groups:
    """The groups that accounts are put into, beside that of their project.

    Attributes:
        managed: The group of all accounts that the agent may change.
        system: Groups of every account.
        by_instance: Groups of the accounts of an instance, by its name, or by `name@zone`.
    """

    managed: str = "openportal"
    system: tuple[str, ...] = ()
    by_instance: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)

    @property
    def blocked(self) -> str:
        """The group of blocked users."""
        return f"{self.managed}.blocked"

    def of(self, user: UserMapping, sender: str, zone: str) -> tuple[str, ...]:
        """Return all groups of an account that an instance adds, without repetition."""
        names = (
            user.local_group,
            self.managed,
            instance_group(sender, zone),
            *self.system,
            *self.by_instance.get(sender, ()),
            *self.by_instance.get(f"{sender}@{zone}", ()),
        )
        return tuple(dict.fromkeys(names))

    @classmethod
    def from_config(cls, config: AgentConfig) -> Groups:
        """Read the options `managed-group`, `system-groups` and `instance-groups`.

        Raises:
            ConfigError: One of them is wrong.
        """
        by_instance: dict[str, tuple[str, ...]] = {}
        for entry in list_option(config, "instance-groups"):
            instance, colon, group = (part.strip() for part in entry.partition(":"))
            if not (instance and colon and group):
                raise ConfigError(
                    f"{quoted(entry)} in instance-groups must be instance:group, as in cluster:slurm,other:users"
                )
            by_instance[instance] = (*by_instance.get(instance, ()), group)
        groups = cls(
            config.option("managed-group", "openportal").strip(),
            list_option(config, "system-groups"),
            by_instance,
        )
        for name in (
            groups.managed,
            *groups.system,
            *(each for some in by_instance.values() for each in some),
        ):
            if not name or name.startswith("-") or set(name) & set(" ,:/\n"):
                raise ConfigError(f"{quoted(name)} is not the name of a group")
        return groups


# -- where accounts live -------------------------------------------------------------------------------------


class Directory(Protocol):
    """Accounts and groups. Every step is idempotent: what is already so is left as it is."""

    @property
    def groups(self) -> Groups:
        """The groups that accounts are put into."""

    async def has_user(self, user: str) -> bool:
        """Whether there is an account."""

    async def members(self, group: str) -> tuple[str, ...] | None:
        """Return the members of a group; None if there is no such group."""

    async def group_names(self) -> tuple[str, ...]:
        """Return the names of all groups."""

    async def add_group(self, group: str) -> None:
        """Make a group, unless there is one."""

    async def remove_group(self, group: str) -> None:
        """Remove a group; fine if there is none."""

    async def add_user(self, user: str, home: str) -> None:
        """Make an account, unless there is one."""

    async def remove_user(self, user: str) -> None:
        """Remove an account and keep its home directory; fine if there is none."""

    async def add_to_groups(self, user: str, groups: tuple[str, ...]) -> None:
        """Put an account into groups that exist."""

    async def remove_from_group(self, user: str, group: str) -> None:
        """Take an account out of a group."""

    async def set_home(self, user: str, home: str) -> None:
        """Change the home directory of an account; moves nothing."""

    async def lock(self, user: str) -> None:
        """Make the password unusable."""

    async def unlock(self, user: str) -> None:
        """Undo `lock`."""


# -- what the agent does -------------------------------------------------------------------------------------


@attrs.frozen
class Accounts:
    """The work of the account agent on a directory.

    Attributes:
        directory: Where accounts live.
    """

    directory: Directory

    async def is_protected(self, user: UserMapping) -> bool:
        """Whether there is an account that the agent must not touch."""
        if not await self.directory.has_user(user.local_user):
            return False
        managed = await self.directory.members(self.directory.groups.managed)
        return user.local_user not in (managed or ())

    async def is_blocked(self, user: UserMapping) -> bool:
        """Whether the user is blocked."""
        blocked = await self.directory.members(self.directory.groups.blocked)
        return user.local_user in (blocked or ())

    async def add_user(self, user: UserMapping, home: str, sender: str, zone: str) -> None:
        """Make an account and put it into its groups, making those that are missing. A blocked user stays as he is.

        An account of an administrator is left alone; the instance has asked `is_protected` before, and sees it in time.
        """
        if await self.is_blocked(user):
            return
        await self.directory.add_user(user.local_user, home)
        groups = self.directory.groups.of(user, sender, zone)
        for group in groups:
            if await self.directory.members(group) is None:
                await self.directory.add_group(group)
        await self.directory.add_to_groups(user.local_user, groups)

    async def block(self, user: UserMapping) -> None:
        """Lock an account, unless it is protected or blocked already."""
        if await self.is_protected(user) or await self.is_blocked(user):
            return
        blocked = self.directory.groups.blocked
        if await self.directory.members(blocked) is None:
            await self.directory.add_group(blocked)
        await self.directory.add_to_groups(user.local_user, (blocked,))
        await self.directory.lock(user.local_user)

    async def unblock(self, user: UserMapping) -> None:
        """Unlock an account, unless it is protected or not blocked."""
        if await self.is_protected(user) or not await self.is_blocked(user):
            return
        await self.directory.remove_from_group(user.local_user, self.directory.groups.blocked)
        await self.directory.unlock(user.local_user)

    async def users_of(self, project: ProjectIdentifier) -> list[UserMapping]:
        """Return the members of a project, in alphabetical order; none if there is no such project."""
        members = await self.directory.members(group_of(project)) or ()
        users = (user_of(member, project) for member in members)
        return sorted((user for user in users if user is not None), key=str)

    async def projects_of(self, portal: PortalIdentifier) -> list[ProjectMapping]:
        """Return the projects of a portal."""
        found = (project_of(group, portal) for group in await self.directory.group_names())
        return [project for project in found if project is not None]


def open_directory(config: AgentConfig) -> Accounts:
    """Make the directory that the option `backend` names: `local` or `ldap`; if there is none, `ldap-base` decides.

    Raises:
        ConfigError: There is no such backend, or one of its options is wrong.
    """
    name = config.option("backend") or ("ldap" if config.option("ldap-base") else "local")
    make = _BACKENDS.get(name)
    if make is None:
        raise ConfigError(f"The option backend must be one of {', '.join(_BACKENDS)}, not {quoted(name)}")
    if config.option("freeipa-server") is not None:
        raise ConfigError("freeipa-server is set, but accounts in FreeIPA are not supported")
    return Accounts(make(config))


def _local(config: AgentConfig) -> Directory:
    from .account_local import LocalDirectory

    return LocalDirectory.from_config(config)


def _ldap(config: AgentConfig) -> Directory:
    from .account_ldap import LdapDirectory

    return LdapDirectory.from_config(config)


_BACKENDS: Final[Mapping[str, Callable[[AgentConfig], Directory]]] = {"local": _local, "ldap": _ldap}


# -- the agent -----------------------------------------------------------------------------------------------


def make_handlers(make: Callable[[AgentConfig], Accounts] = open_directory) -> Handlers:
    """Make the table of handlers.

    Args:
        make: Makes the accounts of an agent; tests pass one of theirs.
    """
    table = Handlers()
    accounts = PerAgent(make)
    table.lifespan(accounts.lifespan)

    @table.add(GetProjects)
    async def get_projects(envelope: Envelope, portal: PortalIdentifier) -> list[ProjectMapping]:
        return await accounts.of(envelope).projects_of(portal)

    @table.add(AddProject)
    async def add_project(envelope: Envelope, project: ProjectIdentifier) -> ProjectMapping:
        directory = accounts.of(envelope).directory
        mapping = map_project(project)
        if await directory.members(mapping.local_group) is None:
            await directory.add_group(mapping.local_group)
        return mapping

    @table.add(RemoveProject)
    async def remove_project(envelope: Envelope, project: ProjectIdentifier) -> ProjectMapping:
        mapping = map_project(project)
        await accounts.of(envelope).directory.remove_group(mapping.local_group)
        return mapping

    @table.add(GetUsers)
    async def get_users(envelope: Envelope, project: ProjectIdentifier) -> list[UserMapping]:
        return await accounts.of(envelope).users_of(project)

    @table.add(AddUser)
    async def add_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        mapping = map_user(user)
        home = await ask_sender(envelope, f"get_local_home_dir {mapping}")
        await accounts.of(envelope).add_user(mapping, checked_home(home), envelope.sender, envelope.zone)
        return mapping

    @table.add(RemoveUser)
    async def remove_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        mapping = map_user(user)
        await accounts.of(envelope).directory.remove_user(mapping.local_user)
        return mapping

    @table.add(BlockUser)
    async def block_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        await accounts.of(envelope).block(map_user(user))
        return map_user(user)

    @table.add(UnblockUser)
    async def unblock_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        await accounts.of(envelope).unblock(map_user(user))
        return map_user(user)

    @table.add(IsBlockedUser)
    async def is_blocked_user(envelope: Envelope, user: UserIdentifier) -> bool:
        return await accounts.of(envelope).is_blocked(map_user(user))

    @table.add(IsProtectedUser)
    async def is_protected_user(envelope: Envelope, user: UserIdentifier) -> bool:
        return await accounts.of(envelope).is_protected(map_user(user))

    @table.add(IsExistingUser)
    async def is_existing_user(envelope: Envelope, user: UserIdentifier) -> bool:
        return await accounts.of(envelope).directory.has_user(map_user(user).local_user)

    @table.add(IsExistingProject)
    async def is_existing_project(envelope: Envelope, project: ProjectIdentifier) -> bool:
        return await accounts.of(envelope).directory.members(group_of(project)) is not None

    @table.add(GetUserMapping)
    async def get_user_mapping(envelope: Envelope, user: UserIdentifier) -> UserMapping:
        mapping = map_user(user)
        if not await accounts.of(envelope).directory.has_user(mapping.local_user):
            raise JobError(f"User does not exist: {user}")
        return mapping

    @table.add(GetProjectMapping)
    async def get_project_mapping(envelope: Envelope, project: ProjectIdentifier) -> ProjectMapping:
        if await accounts.of(envelope).directory.members(group_of(project)) is None:
            raise JobError(f"Project does not exist: {project}")
        return map_project(project)

    @table.add(UpdateHomedir)
    async def update_homedir(envelope: Envelope, user: UserIdentifier, home: str) -> str:
        await accounts.of(envelope).directory.set_home(map_user(user).local_user, checked_home(home))
        return home

    return table


def checked_home(home: Any) -> str:
    """Return the path of a home directory, if it is one that an account can have.

    Raises:
        JobError: It is not absolute, has `..` in it, or a character that the files of accounts cannot hold.
    """
    if (
        not isinstance(home, str)
        or not home.startswith("/")
        or ".." in home.split("/")
        or any(character in ":\0\n\r" for character in home)
        or len(home) > 4096
    ):
        raise JobError(f"{quoted(str(home))} is not a home directory: it must be an absolute path without ..")
    return home


handlers: Final = make_handlers()
"""The handlers of the agent; add to it before running the agent."""


async def run(config: AgentConfig) -> None:
    """Run an account agent until it is stopped.

    Raises:
        ConfigError: The configuration is of another type, or an option is missing or wrong.
    """
    await run_role(config, AgentType.ACCOUNT, handlers, open_directory)
