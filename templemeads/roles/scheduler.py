"""The scheduler agent: accounts, users, limits and usage of projects in Slurm.

An account or user that is there is left as it is. Removing a user or project cancels what waits in the queue and keeps the
account, since usage is recorded under it. A day that cannot be read makes the report an error: an empty day in its place
would be billed as nothing used.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import trio

from paddington import ConfigError

from ..agent.envelope import Envelope
from ..agent.handlers import Handlers
from ..agent_type import AgentType
from ..config import AgentConfig
from ..errors import JobError
from ..grammar import (
    AddLocalProject,
    AddLocalUser,
    GetLocalLimit,
    GetLocalUsageReport,
    ProjectMapping,
    RemoveLocalProject,
    RemoveLocalUser,
    SetLocalLimit,
    UserMapping,
)
from ..grammar.dates import Date, DateRange
from ..grammar.usage import Usage
from ..grammar.usage_reports import DailyProjectUsageReport, ProjectUsageReport
from .programs import ProgramError, Programs, Ran, SystemPrograms
from .role import PerAgent, command_option, number_option, parallel, run_role
from .slurm import (
    DaySpan,
    NodeShape,
    Settings,
    day_report,
    day_spans,
    has_association,
    has_name,
    read_jobs,
    read_limits,
    read_rows,
)
from .slurm_text import lacks_json, parsable, read_columns

_log = logging.getLogger("templemeads.roles.scheduler")

OPTIONS: Final = (
    *(
        "slurm-default-node",
        "slurm-cluster",
        "slurm-partition",
        "parent-account",
        "sacct",
        "sacctmgr",
        "scontrol",
    ),
    *("scancel", "max-slurm-runners", "slurm-server", "slurm-user", "token-command", "token-lifespan"),
)
"""The options under `[extras]`; the last four belong to the REST service, which is not used."""

PROGRAM_SECONDS: Final = 100.0
"""How long one program of Slurm may run: a little less than the two minutes that existing instances wait."""

MAX_CACHED_DAYS: Final = 10_000
"""Days of accounts that are kept once they have been read; the least recently used is forgotten."""

SETTLED_SECONDS: Final = 3600.0
"""How long after its end a day is kept: until then the accounting database may still hear of its jobs."""

_NOTHING_NEW: Final = ("nothing new added", "already exist")


def read_settings(config: AgentConfig) -> Settings:
    """Read the options of the agent.

    Raises:
        ConfigError: One is missing or wrong.
    """
    node = config.option("slurm-default-node")
    if node is None:
        raise ConfigError(
            "The option slurm-default-node is missing; it says what a node has: "
            'extra -k slurm-default-node -v \'{"cpus": 64, "gpus": 4, "mem": 256000, "billing": 64}\''
        )
    if config.option("slurm-server") is not None:
        _log.warning(
            "slurm-server is set, but Slurm's REST service is not used: sacctmgr, sacct and scancel are run"
        )
    return Settings(
        NodeShape.from_option(node),
        cluster=config.option("slurm-cluster") or None,
        partition=config.option("slurm-partition") or None,
        parent=config.option("parent-account", "root"),
        sacctmgr=command_option(config, "sacctmgr"),
        sacct=command_option(config, "sacct"),
        scancel=command_option(config, "scancel"),
        runners=number_option(config, "max-slurm-runners", 5, most=1000),
    )


@attrs.define(eq=False)
class Slurm:
    """Slurm, as the agent works with it.

    Attributes:
        settings: How its programs are called.
        programs: What runs them.
        clock: Returns seconds since 1970.
    """

    settings: Settings
    programs: Programs = attrs.field(factory=SystemPrograms)
    clock: Callable[[], float] = time.time
    _limiter: trio.CapacityLimiter = attrs.field(init=False)
    _lacks_json: bool = attrs.field(default=False, init=False)
    _days: OrderedDict[tuple[str, Date], DailyProjectUsageReport] = attrs.field(
        factory=OrderedDict, init=False
    )

    @_limiter.default
    def _make_limiter(self) -> trio.CapacityLimiter:
        return trio.CapacityLimiter(self.settings.runners)

    @classmethod
    def from_config(cls, config: AgentConfig) -> Slurm:
        """Make one from the options of an agent."""
        return cls(read_settings(config))

    async def has_account(self, account: str) -> bool:
        """Whether there is an account."""
        return has_name(
            await self._query(self.settings.list_account(account), "accounts", "sacctmgr"), account
        )

    async def add_project(self, project: ProjectMapping) -> None:
        """Make the account of a project, unless there is one."""
        if await self.has_account(project.local_group):
            return
        self._require_added(await self._run(self.settings.add_account(project)))
        if not await self.has_account(project.local_group):
            raise JobError(f"Slurm added the account {project.local_group} but does not list it")

    async def add_user(self, user: UserMapping) -> None:
        """Make a user who may use the account of the project, and the account if it is missing."""
        await self.add_project(user.project_mapping)
        if await self._may_use(user):
            return
        words = self.settings.add_user(user)
        ran = await self._run(words)
        if ran.status and "unknown option: comment" in f"{ran.errors}\n{ran.output}".lower():
            # Not every release knows comments of users.
            ran = await self._run([word for word in words if not word.startswith("Comment=")])
        self._require_added(ran)
        if not await self._may_use(user):
            raise JobError(
                f"Slurm added the user {user.local_user} but does not list it under {user.local_group}"
            )

    async def cancel_pending(self, *, account: str | None = None, user: str | None = None) -> None:
        """Cancel what waits in the queue. Failing to is only logged: what waits can start no more without an account."""
        ran = await self._run(self.settings.cancel_pending(account=account, user=user))
        try:
            ran.require()
        except ProgramError as error:
            _log.warning("cannot cancel the waiting jobs of %s: %s", account or user, error)

    async def get_limit(self, project: ProjectMapping) -> Usage:
        """Return what the project may use in all."""
        account = project.local_group
        await self._require_account(account)
        rows = await self._query(self.settings.show_limit(account), "associations", "sacctmgr")
        limit = self.settings.node.limit_of(read_limits(rows, account))
        if limit is None:
            raise JobError(f"The account {account} has no limit")
        return limit

    async def set_limit(self, project: ProjectMapping, limit: Usage) -> Usage:
        """Limit what the project may use in all."""
        await self._require_account(project.local_group)
        (await self._run(self.settings.set_limit(project.local_group, limit))).require()
        return limit

    async def usage(self, project: ProjectMapping, dates: DateRange) -> ProjectUsageReport:
        """Report what a project used, day by day. No account: an empty report. Days to come are left out.

        Raises:
            JobError: A day cannot be read; the message says which.
        """
        if not await self.has_account(project.local_group):
            return ProjectUsageReport(project.project, {})
        spans = list(day_spans(dates.days, self.clock()))
        days: dict[Date, DailyProjectUsageReport] = {}
        async with parallel() as nursery:
            for span in spans:
                nursery.start_soon(self._read_day, project.local_group, span, days)
        return ProjectUsageReport(project.project, {span.date: days[span.date] for span in spans})

    async def _read_day(self, account: str, day: DaySpan, into: dict[Date, DailyProjectUsageReport]) -> None:
        key = (account, day.date)
        if (kept := self._days.get(key)) is not None:
            self._days.move_to_end(key)
            into[day.date] = kept
            return
        try:
            rows = await self._query(self.settings.list_jobs(account, *day.words), "jobs", "sacct")
            jobs = read_jobs(rows, account)
        except JobError as error:
            raise JobError(f"The usage of {account} on {day.date} cannot be read: {error}") from error
        report = into[day.date] = day_report(jobs, day, self.settings.node)
        if day.is_over and day.end + SETTLED_SECONDS <= self.clock():
            self._days[key] = report
            if len(self._days) > MAX_CACHED_DAYS:
                self._days.popitem(last=False)

    async def _may_use(self, user: UserMapping) -> bool:
        rows = await self._query(self.settings.list_user(user.local_user), "users", "sacctmgr")
        return has_association(rows, user.local_user, user.local_group)

    async def _require_account(self, account: str) -> None:
        if not await self.has_account(account):
            raise JobError(account)

    def _require_added(self, ran: Ran) -> None:
        said = f"{ran.output}\n{ran.errors}".lower()
        if not any(text in said for text in _NOTHING_NEW):
            ran.require()

    async def _query(self, words: Sequence[str], key: str, program: str) -> list[Mapping[str, Any]]:
        """Ask for rows: as JSON, or as columns once a program has said that it cannot write JSON."""
        if not self._lacks_json:
            ran = await self._run(words)
            self._lacks_json = lacks_json(ran.status, ran.errors)
            if not self._lacks_json:
                return read_rows(ran.require().output, key, program)
            _log.info("%s writes no JSON: its parsable output is read", program)
        ran = await self._run(parsable(words, key))
        return read_columns(ran.require().output, key, program)

    async def _run(self, words: Sequence[str]) -> Ran:
        async with self._limiter:
            return await self.programs.run(words, timeout=PROGRAM_SECONDS)


# -- the agent -----------------------------------------------------------------------------------------------------------


def make_handlers(make: Callable[[AgentConfig], Slurm] = Slurm.from_config) -> Handlers:
    """Make the table of handlers.

    Args:
        make: Makes the Slurm of an agent; tests pass one with recorded outputs.
    """
    table = Handlers()
    slurm = PerAgent(make)
    table.lifespan(slurm.lifespan)

    @table.add(AddLocalProject)
    async def add_local_project(envelope: Envelope, project: ProjectMapping) -> None:
        await slurm.of(envelope).add_project(project)

    @table.add(RemoveLocalProject)
    async def remove_local_project(envelope: Envelope, project: ProjectMapping) -> None:
        await slurm.of(envelope).cancel_pending(account=project.local_group)

    @table.add(AddLocalUser)
    async def add_local_user(envelope: Envelope, user: UserMapping) -> None:
        await slurm.of(envelope).add_user(user)

    @table.add(RemoveLocalUser)
    async def remove_local_user(envelope: Envelope, user: UserMapping) -> None:
        await slurm.of(envelope).cancel_pending(user=user.local_user)

    @table.add(GetLocalLimit)
    async def get_local_limit(envelope: Envelope, project: ProjectMapping) -> Usage:
        return await slurm.of(envelope).get_limit(project)

    @table.add(SetLocalLimit)
    async def set_local_limit(envelope: Envelope, project: ProjectMapping, limit: Usage) -> Usage:
        return await slurm.of(envelope).set_limit(project, limit)

    @table.add(GetLocalUsageReport)
    async def get_local_usage_report(
        envelope: Envelope, project: ProjectMapping, dates: DateRange
    ) -> ProjectUsageReport:
        return await slurm.of(envelope).usage(project, dates)

    return table


handlers: Final = make_handlers()
"""The handlers of the agent; add to it before running the agent."""


async def run(config: AgentConfig) -> None:
    """Run a scheduler agent until it is stopped.

    Raises:
        ConfigError: The configuration is of another type, or an option is missing or wrong.
    """
    await run_role(config, AgentType.SCHEDULER, handlers, read_settings)
