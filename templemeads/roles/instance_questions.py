"""What an instance answers and passes on without changing anybody's account: reports, limits, quotas, look-ups.

One failure ends a question; what is asked for several projects is asked for `MAX_AT_ONCE` of them at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from ..agent.envelope import Envelope
from ..agent.handlers import Handlers
from ..agent_type import AgentType
from ..grammar import (
    ClearLocalProjectQuota,
    ClearLocalUserQuota,
    ClearProjectQuota,
    ClearUserQuota,
    GetHomeDir,
    GetLimit,
    GetLocalHomeDir,
    GetLocalLimit,
    GetLocalProjectDirs,
    GetLocalProjectQuota,
    GetLocalProjectQuotas,
    GetLocalStorageReport,
    GetLocalUsageReport,
    GetLocalUserDirs,
    GetLocalUserQuota,
    GetLocalUserQuotas,
    GetProjectDirs,
    GetProjectMapping,
    GetProjectQuota,
    GetProjectQuotas,
    GetProjects,
    GetStorageReport,
    GetStorageReports,
    GetUsageReport,
    GetUsageReports,
    GetUserDirs,
    GetUserMapping,
    GetUserQuota,
    GetUserQuotas,
    GetUsers,
    Instruction,
    IsBlockedUser,
    IsProtectedUser,
    PortalIdentifier,
    ProjectIdentifier,
    ProjectMapping,
    SetLimit,
    SetLocalLimit,
    SetLocalProjectQuota,
    SetLocalUserQuota,
    SetProjectQuota,
    SetUserQuota,
    UserIdentifier,
    UserMapping,
)
from ..grammar.dates import DateRange
from ..grammar.storage import Quota, QuotaLimit, Volume
from ..grammar.storage_reports import ProjectStorageReport, StorageReport
from ..grammar.usage import Usage
from ..grammar.usage_reports import ProjectUsageReport, UsageReport
from ..jobs.job import Job
from .role import parallel
from .subordinates import Subordinates

MAX_AT_ONCE: Final = 8
"""Users or projects of one job that are worked on at once."""


async def side_by_side(items: list[Any], work: Callable[[Any], Awaitable[Any]]) -> list[Any]:
    """Work on items, `MAX_AT_ONCE` at once, and return the results in the order of the items."""
    results: dict[int, Any] = {}
    limiter = trio.CapacityLimiter(MAX_AT_ONCE)

    async def one(index: int, item: Any) -> None:
        async with limiter:
            results[index] = await work(item)

    async with parallel() as nursery:
        for index, item in enumerate(items):
            nursery.start_soon(one, index, item)
    return [results[index] for index in range(len(items))]


def add_questions(table: Handlers) -> None:
    """Enter the handlers into a table."""
    _add_reports(table)
    _add_project_storage(table)
    _add_user_storage(table)
    _add_passed_on(table)


# -- reports -------------------------------------------------------------------------------------------------


async def _usage_of(agents: Subordinates, project: ProjectMapping, dates: DateRange) -> ProjectUsageReport:
    found: dict[str, Any] = {}

    async def usage() -> None:
        found["report"] = await agents.scheduler(GetLocalUsageReport(project, dates))

    async def users() -> None:
        found["users"] = await agents.account(GetUsers(project.project))

    async with parallel() as nursery:
        nursery.start_soon(usage)
        nursery.start_soon(users)
    report: ProjectUsageReport = found["report"]
    return report.with_users({user.user: user.local_user for user in found["users"]})


async def _storage_of(
    agents: Subordinates, project: ProjectIdentifier, dates: DateRange
) -> ProjectStorageReport:
    mapping = await agents.account(GetProjectMapping(project))
    report: ProjectStorageReport = await agents.filesystem(GetLocalStorageReport(mapping, dates))
    return report


def _add_reports(table: Handlers) -> None:
    @table.add(GetUsageReport)
    async def get_usage_report(
        envelope: Envelope, project: ProjectIdentifier, dates: DateRange
    ) -> ProjectUsageReport:
        agents = Subordinates(envelope)
        return await _usage_of(agents, await agents.account(GetProjectMapping(project)), dates)

    @table.add(GetUsageReports)
    async def get_usage_reports(
        envelope: Envelope, portal: PortalIdentifier, dates: DateRange
    ) -> UsageReport:
        agents = Subordinates(envelope)
        projects = list(await agents.account(GetProjects(portal)))
        reports = await side_by_side(projects, lambda project: _usage_of(agents, project, dates))
        return UsageReport(portal, {report.project: report for report in reports})

    @table.add(GetStorageReport)
    async def get_storage_report(
        envelope: Envelope, project: ProjectIdentifier, dates: DateRange
    ) -> ProjectStorageReport:
        return await _storage_of(Subordinates(envelope), project, dates)

    @table.add(GetStorageReports)
    async def get_storage_reports(
        envelope: Envelope, portal: PortalIdentifier, dates: DateRange
    ) -> StorageReport:
        agents = Subordinates(envelope)
        projects = [mapping.project for mapping in await agents.account(GetProjects(portal))]
        reports = await side_by_side(projects, lambda project: _storage_of(agents, project, dates))
        return StorageReport(portal, {report.project: report for report in reports})

    @table.add(GetLimit)
    async def get_limit(envelope: Envelope, project: ProjectIdentifier) -> Usage:
        agents = Subordinates(envelope)
        mapping = await agents.account(GetProjectMapping(project))
        limit: Usage = await agents.scheduler(GetLocalLimit(mapping))
        return limit

    @table.add(SetLimit)
    async def set_limit(envelope: Envelope, project: ProjectIdentifier, limit: Usage) -> Usage:
        agents = Subordinates(envelope)
        mapping = await agents.account(GetProjectMapping(project))
        new: Usage = await agents.scheduler(SetLocalLimit(mapping, limit))
        return new


def _add_project_storage(table: Handlers) -> None:
    async def ask(
        envelope: Envelope, project: ProjectIdentifier, make: Callable[[ProjectMapping], Instruction]
    ) -> Any:
        agents = Subordinates(envelope)
        instruction = make(await agents.account(GetProjectMapping(project)))
        # Agents differ in whether clearing a quota has a value; it is cleared in any case.
        discard = isinstance(instruction, ClearLocalProjectQuota)
        return await agents.ask(AgentType.FILESYSTEM, instruction, discard=discard)

    @table.add(GetProjectQuota)
    async def get_project_quota(envelope: Envelope, project: ProjectIdentifier, volume: Volume) -> Quota:
        quota: Quota = await ask(envelope, project, lambda mapping: GetLocalProjectQuota(mapping, volume))
        return quota

    @table.add(SetProjectQuota)
    async def set_project_quota(
        envelope: Envelope, project: ProjectIdentifier, volume: Volume, limit: QuotaLimit
    ) -> Quota:
        quota: Quota = await ask(
            envelope, project, lambda mapping: SetLocalProjectQuota(mapping, volume, limit)
        )
        return quota

    @table.add(ClearProjectQuota)
    async def clear_project_quota(envelope: Envelope, project: ProjectIdentifier, volume: Volume) -> None:
        await ask(envelope, project, lambda mapping: ClearLocalProjectQuota(mapping, volume))

    @table.add(GetProjectQuotas)
    async def get_project_quotas(envelope: Envelope, project: ProjectIdentifier) -> dict[Volume, Quota]:
        quotas: dict[Volume, Quota] = await ask(envelope, project, GetLocalProjectQuotas)
        return quotas

    @table.add(GetProjectDirs)
    async def get_project_dirs(envelope: Envelope, project: ProjectIdentifier) -> list[str]:
        paths: list[str] = await ask(envelope, project, GetLocalProjectDirs)
        return paths


def _add_user_storage(table: Handlers) -> None:
    async def ask(
        envelope: Envelope, user: UserIdentifier, make: Callable[[UserMapping], Instruction]
    ) -> Any:
        agents = Subordinates(envelope)
        instruction = make(await agents.account(GetUserMapping(user)))
        discard = isinstance(instruction, ClearLocalUserQuota)
        return await agents.ask(AgentType.FILESYSTEM, instruction, discard=discard)

    @table.add(GetUserQuota)
    async def get_user_quota(envelope: Envelope, user: UserIdentifier, volume: Volume) -> Quota:
        quota: Quota = await ask(envelope, user, lambda mapping: GetLocalUserQuota(mapping, volume))
        return quota

    @table.add(SetUserQuota)
    async def set_user_quota(
        envelope: Envelope, user: UserIdentifier, volume: Volume, limit: QuotaLimit
    ) -> Quota:
        quota: Quota = await ask(envelope, user, lambda mapping: SetLocalUserQuota(mapping, volume, limit))
        return quota

    @table.add(ClearUserQuota)
    async def clear_user_quota(envelope: Envelope, user: UserIdentifier, volume: Volume) -> None:
        await ask(envelope, user, lambda mapping: ClearLocalUserQuota(mapping, volume))

    @table.add(GetUserQuotas)
    async def get_user_quotas(envelope: Envelope, user: UserIdentifier) -> dict[Volume, Quota]:
        quotas: dict[Volume, Quota] = await ask(envelope, user, GetLocalUserQuotas)
        return quotas

    @table.add(GetHomeDir)
    async def get_home_dir(envelope: Envelope, user: UserIdentifier) -> str:
        path: str = await ask(envelope, user, GetLocalHomeDir)
        return path

    @table.add(GetUserDirs)
    async def get_user_dirs(envelope: Envelope, user: UserIdentifier) -> list[str]:
        paths: list[str] = await ask(envelope, user, GetLocalUserDirs)
        return paths


def _add_passed_on(table: Handlers) -> None:
    """Enter what one agent answers alone; the agents ask some of it themselves, while they work for the instance."""

    async def to_account(envelope: Envelope, _: object) -> Job:
        value = await Subordinates(envelope).account(envelope.job.instruction)
        return envelope.job.completed(value)

    async def to_filesystem(envelope: Envelope, _: object) -> Job:
        value = await Subordinates(envelope).filesystem(envelope.job.instruction)
        return envelope.job.completed(value)

    table.add(GetProjects, GetUsers, GetProjectMapping, GetUserMapping, IsBlockedUser, IsProtectedUser)(
        to_account
    )
    table.add(GetLocalHomeDir, GetLocalUserDirs, GetLocalProjectDirs)(to_filesystem)
