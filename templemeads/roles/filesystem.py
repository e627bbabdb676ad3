"""The filesystem agent: directories, links and quotas of projects and users.

What there shall be is decided in `volumes`, made by a tree of `trees`, and limited by an engine of `quotas`. Nothing outside
the configured roots and links is ever touched. Removing moves a directory into a recycle bin beside it; adding the same user
or project again takes it out.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from ..agent.envelope import Envelope
from ..agent.handlers import Handlers
from ..agent_type import AgentType
from ..config import AgentConfig
from ..errors import JobError, ParseError
from ..grammar import (
    AddLocalProject,
    AddLocalUser,
    ClearLocalProjectQuota,
    ClearLocalUserQuota,
    GetLocalHomeDir,
    GetLocalProjectDirs,
    GetLocalProjectQuota,
    GetLocalProjectQuotas,
    GetLocalStorageReport,
    GetLocalUserDirs,
    GetLocalUserQuota,
    GetLocalUserQuotas,
    ProjectMapping,
    RemoveLocalProject,
    RemoveLocalUser,
    SetLocalProjectQuota,
    SetLocalUserQuota,
    UserMapping,
)
from ..grammar.dates import DateRange
from ..grammar.storage import Quota, QuotaLimit, Volume
from ..grammar.storage_reports import ProjectStorageReport
from ..grammar.timestamps import Timestamp
from . import volumes as layout
from .programs import Programs, SystemPrograms
from .quotas import Holder, QuotaEngine, read_engines
from .role import PerAgent, ask_sender, run_role
from .trees import ProgramTree, SystemTree, Tree
from .volumes import Directory, Link, Volumes

_log = logging.getLogger("templemeads.roles.filesystem")

OPTIONS: Final = ("exec-prefix",)
"""The options under `[extras]`; the rest stands in tables of its own."""


@attrs.frozen
class Filesystem:
    """The work of the filesystem agent.

    Attributes:
        volumes: The volumes.
        engines: The quota engines, by name.
        tree: What makes directories.
        clock: Returns seconds since 1970.
    """

    volumes: Volumes
    engines: Mapping[str, QuotaEngine]
    tree: Tree
    clock: Callable[[], float] = time.time

    @classmethod
    def from_config(cls, config: AgentConfig, programs: Programs | None = None) -> Filesystem:
        """Read the options of the agent.

        Raises:
            ConfigError: One is missing or wrong.
        """
        programs = programs or SystemPrograms()
        engines = read_engines(config.tables, programs)
        prefix = tuple(config.option("exec-prefix", "").split())
        tree: Tree = ProgramTree(prefix, programs) if prefix else SystemTree()
        return cls(Volumes.from_tables(config.tables, engines), engines, tree)

    # -- directories --------------------------------------------------------------------------------------------

    async def add_project(self, project: ProjectMapping) -> None:
        """Make the directories and links of a project, and give it the default quotas."""
        await self._make(self.volumes.of_project(project))
        for volume in self.volumes.projects.values():
            await self._default_quota(volume, self._project(volume, project))

    async def add_user(self, user: UserMapping) -> None:
        """Make the directories of a user, those of the project first, and give him the default quotas."""
        await self._make(self.volumes.of_project(user.project_mapping))
        await self._make(self.volumes.of_user(user))
        for volume in self.volumes.users.values():
            await self._default_quota(volume, self._user(volume, user))

    async def remove_project(self, project: ProjectMapping) -> None:
        """Remove the links and recycle the directories of a project."""
        links, places = self.volumes.removed_with_project(project)
        for link in links:
            await self.tree.unlink(link)
        for place in places:
            await self.tree.recycle(place)

    async def remove_user(self, user: UserMapping) -> None:
        """Recycle the directories of a user."""
        for place in self.volumes.removed_with_user(user):
            await self.tree.recycle(place)

    async def _make(self, wanted: list[Directory | Link]) -> None:
        for each in wanted:
            if isinstance(each, Link):
                await self.tree.link(each)
            else:
                await self.tree.make(each)

    # -- quotas -------------------------------------------------------------------------------------------------

    async def quota(self, volume: layout.Volume, holder: Holder) -> Quota:
        """Return a quota; unlimited if the volume has no engine."""
        engine = self._engine(volume)
        return Quota(QuotaLimit()) if engine is None else await engine.read(volume, holder)

    async def set_quota(self, volume: layout.Volume, holder: Holder, limit: QuotaLimit) -> Quota:
        """Set a quota and return it as it is now.

        Raises:
            JobError: It is more than the volume allows.
        """
        if volume.max_quota is not None and limit > volume.max_quota:
            kind = "user" if holder.is_user else "project"
            raise JobError(
                f"Requested quota ({limit}) exceeds maximum ({volume.max_quota}) "
                f"for {kind} {holder.name} on volume {volume.name}"
            )
        engine = self._engine(volume)
        if engine is not None:
            await engine.write(volume, holder, limit)
        return await self.quota(volume, holder)

    async def clear_quota(self, volume: layout.Volume, holder: Holder) -> None:
        """Take a limit away."""
        engine = self._engine(volume)
        if engine is not None:
            await engine.write(volume, holder, QuotaLimit())

    async def user_quotas(self, user: UserMapping) -> dict[Volume, Quota]:
        """Return the quotas of a user on the volumes that have an engine; those that cannot be read are left out."""
        return await self._quotas(self.volumes.users, lambda volume: self._user(volume, user))

    async def project_quotas(self, project: ProjectMapping) -> dict[Volume, Quota]:
        """Return the quotas of a project likewise."""
        return await self._quotas(self.volumes.projects, lambda volume: self._project(volume, project))

    def user_volume(self, name: Volume, user: UserMapping) -> tuple[layout.Volume, Holder]:
        """Return a volume of users and whose quota on it is meant.

        Raises:
            JobError: There is no such volume.
        """
        volume = self.volumes.users.get(str(name))
        if volume is None:
            raise JobError(f"User volume '{name}' not found")
        return volume, self._user(volume, user)

    def project_volume(self, name: Volume, project: ProjectMapping) -> tuple[layout.Volume, Holder]:
        """Return a volume of projects likewise."""
        volume = self.volumes.projects.get(str(name))
        if volume is None:
            raise JobError(f"Project volume '{name}' not found")
        return volume, self._project(volume, project)

    def _engine(self, volume: layout.Volume) -> QuotaEngine | None:
        return None if volume.engine is None else self.engines[volume.engine]

    def _user(self, volume: layout.Volume, user: UserMapping) -> Holder:
        places = volume.places(layout.names_of_user(user))
        return Holder(user.local_user, True, tuple(map(str, places)))

    def _project(self, volume: layout.Volume, project: ProjectMapping) -> Holder:
        places = volume.places(layout.names_of_project(project))
        return Holder(project.local_group, False, tuple(map(str, places)))

    async def _default_quota(self, volume: layout.Volume, holder: Holder) -> None:
        if volume.default_quota is None or self._engine(volume) is None:
            return
        try:
            # Adding somebody again must not take away what an administrator has granted since.
            if (await self.quota(volume, holder)).limit.is_unlimited:
                await self.set_quota(volume, holder, volume.default_quota)
        except JobError as error:
            _log.warning("the default quota of %s on %s cannot be set: %s", holder.name, volume.name, error)

    async def _quotas(
        self, volumes: Mapping[str, layout.Volume], holder: Callable[[layout.Volume], Holder]
    ) -> dict[Volume, Quota]:
        found = {}
        for name, volume in volumes.items():
            if volume.engine is None:
                continue
            try:
                found[Volume(name)] = await self.quota(volume, holder(volume))
            except (JobError, ParseError) as error:
                _log.warning("a quota on %s cannot be read: %s", name, error)
        return found

    # -- reports ------------------------------------------------------------------------------------------------

    async def storage_report(
        self, envelope: Envelope, project: ProjectMapping, dates: DateRange
    ) -> ProjectStorageReport:
        """Report what a project and its users store now.

        Raises:
            JobError: Another day than today is asked for, or the sender does not say who the users are.
        """
        now = dt.datetime.fromtimestamp(self.clock()).astimezone()
        if (dates.start, dates.end) != (now.date(), now.date()):
            raise JobError(f"Storage reports only support today's date; requested range: {dates}")
        quotas = await self.project_quotas(project)
        users = await ask_sender(envelope, f"get_users {project.project}")
        if not isinstance(users, list | tuple) or not all(isinstance(user, UserMapping) for user in users):
            raise JobError(f"{envelope.sender} did not answer with a list of users")
        return ProjectStorageReport(
            project.project,
            Timestamp.from_datetime(now),
            quotas,
            {user.user: await self.user_quotas(user) for user in users},
            {user.user: user.local_user for user in users},
        )


# -- the agent -----------------------------------------------------------------------------------------------------------


def make_handlers(make: Callable[[AgentConfig], Filesystem] = Filesystem.from_config) -> Handlers:
    """Make the table of handlers.

    Args:
        make: Makes the file system of an agent; tests pass one of theirs.
    """
    table = Handlers()
    files = PerAgent(make)
    table.lifespan(files.lifespan)

    @table.add(AddLocalProject)
    async def add_local_project(envelope: Envelope, project: ProjectMapping) -> None:
        await files.of(envelope).add_project(project)

    @table.add(RemoveLocalProject)
    async def remove_local_project(envelope: Envelope, project: ProjectMapping) -> None:
        await files.of(envelope).remove_project(project)

    @table.add(AddLocalUser)
    async def add_local_user(envelope: Envelope, user: UserMapping) -> None:
        await files.of(envelope).add_user(user)

    @table.add(RemoveLocalUser)
    async def remove_local_user(envelope: Envelope, user: UserMapping) -> None:
        await files.of(envelope).remove_user(user)

    @table.add(GetLocalHomeDir)
    async def get_local_home_dir(envelope: Envelope, user: UserMapping) -> str:
        return files.of(envelope).volumes.home(user)

    @table.add(GetLocalUserDirs)
    async def get_local_user_dirs(envelope: Envelope, user: UserMapping) -> list[str]:
        return files.of(envelope).volumes.user_directories(user)

    @table.add(GetLocalProjectDirs)
    async def get_local_project_dirs(envelope: Envelope, project: ProjectMapping) -> list[str]:
        return files.of(envelope).volumes.project_directories(project)

    @table.add(GetLocalProjectQuota)
    async def get_local_project_quota(envelope: Envelope, project: ProjectMapping, volume: Volume) -> Quota:
        filesystem = files.of(envelope)
        return await filesystem.quota(*filesystem.project_volume(volume, project))

    @table.add(SetLocalProjectQuota)
    async def set_local_project_quota(
        envelope: Envelope, project: ProjectMapping, volume: Volume, limit: QuotaLimit
    ) -> Quota:
        filesystem = files.of(envelope)
        return await filesystem.set_quota(*filesystem.project_volume(volume, project), limit)

    @table.add(ClearLocalProjectQuota)
    async def clear_local_project_quota(envelope: Envelope, project: ProjectMapping, volume: Volume) -> None:
        filesystem = files.of(envelope)
        await filesystem.clear_quota(*filesystem.project_volume(volume, project))

    @table.add(GetLocalProjectQuotas)
    async def get_local_project_quotas(envelope: Envelope, project: ProjectMapping) -> dict[Volume, Quota]:
        return await files.of(envelope).project_quotas(project)

    @table.add(GetLocalUserQuota)
    async def get_local_user_quota(envelope: Envelope, user: UserMapping, volume: Volume) -> Quota:
        filesystem = files.of(envelope)
        return await filesystem.quota(*filesystem.user_volume(volume, user))

    @table.add(SetLocalUserQuota)
    async def set_local_user_quota(
        envelope: Envelope, user: UserMapping, volume: Volume, limit: QuotaLimit
    ) -> Quota:
        filesystem = files.of(envelope)
        return await filesystem.set_quota(*filesystem.user_volume(volume, user), limit)

    @table.add(ClearLocalUserQuota)
    async def clear_local_user_quota(envelope: Envelope, user: UserMapping, volume: Volume) -> None:
        filesystem = files.of(envelope)
        await filesystem.clear_quota(*filesystem.user_volume(volume, user))

    @table.add(GetLocalUserQuotas)
    async def get_local_user_quotas(envelope: Envelope, user: UserMapping) -> dict[Volume, Quota]:
        return await files.of(envelope).user_quotas(user)

    @table.add(GetLocalStorageReport)
    async def get_local_storage_report(
        envelope: Envelope, project: ProjectMapping, dates: DateRange
    ) -> ProjectStorageReport:
        return await files.of(envelope).storage_report(envelope, project, dates)

    return table


handlers: Final = make_handlers()
"""The handlers of the agent; add to it before running the agent."""


async def run(config: AgentConfig) -> None:
    """Run a filesystem agent until it is stopped.

    Raises:
        ConfigError: The configuration is of another type, or an option is missing or wrong.
    """
    await run_role(config, AgentType.FILESYSTEM, handlers, Filesystem.from_config)
