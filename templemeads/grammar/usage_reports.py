"""Reports of compute usage: per project and day, per project, per portal.

One table, the fields of `DailyProjectUsageReport`, drives reading, writing, adding, scaling and renaming.
Unknown fields of newer versions survive when reports are filtered, merged and passed on.

Source: the protocol page *json-types*, section 6.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import attrs

from ..errors import RefusedError
from .awards import DATE
from .dates import Date, DateRange
from .forms import (
    BOOLEAN,
    MAX_U64,
    TEXT,
    U64,
    KeepsUnknown,
    Record,
    map_of,
    member,
    value_of,
)
from .frozenmap import FrozenMap
from .identifiers import PortalIdentifier, ProjectIdentifier, UserIdentifier
from .report_parts import (
    check_distinct,
    check_projects,
    first_of_each,
    renamed,
    renamed_users_of,
    scaled,
    summed,
    total,
)
from .usage import Usage

UNKNOWN_USER = "unknown"
"""The local user name for usage without a known user."""

_EMPTY: FrozenMap[Any, Any] = FrozenMap()
_USER_LEVEL = "templemeads.user_level"
_BY_NAME = map_of(TEXT, value_of(Usage))

# Forms of the fields of a day. The level is the depth of the map at which the keys are local users.
_COUNT = member(U64, always=False)
_COUNTS = member(map_of(TEXT, U64), always=False)
_USAGES = member(_BY_NAME, always=False)
_COUNTS_OF_USERS = {**_COUNTS, _USER_LEVEL: 1}
_USAGES_OF_USERS = {**_USAGES, _USER_LEVEL: 1}
_USAGES_OF_GROUPS = {**member(map_of(TEXT, _BY_NAME), always=False), _USER_LEVEL: 2}

_Counts = Mapping[str, int]
_Usages = Mapping[str, Usage]
_Groups = Mapping[str, Mapping[str, Usage]]


@attrs.frozen(kw_only=True)
class DailyProjectUsageReport(KeepsUnknown):
    """Usage by the jobs of one project on one day. Users are local names; `UNKNOWN_USER` collects the rest.

    Totals are never checked against the maps beside them: older reports have totals without maps.

    Attributes:
        reports: Usage by user.
        components: Usage by user, by component (such as `gpu`).
        user_job_counts: Jobs started, by user.
        num_jobs: Jobs started.
        user_wait_seconds: Seconds in the queue, by user.
        total_wait_seconds: Seconds in the queue.
        user_expansion_milli: Sum over jobs of 1000 times (wait + run) / run, by user.
        total_expansion_milli: The same in total.
        user_runtime_seconds: Seconds that jobs ran, by user.
        total_runtime_seconds: Seconds that jobs ran.
        user_expansion_jobs: Number of jobs behind the expansion and run time, by user.
        num_expansion_jobs: The same in total.
        user_allocated_cpus: Cores, summed over jobs, by user.
        total_allocated_cpus: Cores, summed over jobs.
        user_allocated_gpus: GPUs, summed over jobs, by user.
        total_allocated_gpus: GPUs, summed over jobs.
        requeue_reports: Usage lost to requeues and paid for by the site, by user; not part of `reports`.
        requeue_components: The same by component.
        user_requeue_events: Requeues, by user.
        num_requeue_events: Requeues.
        user_requeue_wait_seconds: Seconds in the queue after requeues, by user.
        requeue_wait_seconds: Seconds in the queue after requeues.
        requeue_states: Requeues by the state that caused them, such as `NODE_FAIL`.
        requeue_state_usage: Usage lost, by state.
        charged_requeue_reports: As the eight above, for requeues that the project asked for: part of what
            it is charged.
        charged_requeue_components: See `charged_requeue_reports`.
        user_charged_requeue_events: See `charged_requeue_reports`.
        num_charged_requeue_events: See `charged_requeue_reports`.
        user_charged_requeue_wait_seconds: See `charged_requeue_reports`.
        charged_requeue_wait_seconds: See `charged_requeue_reports`.
        charged_requeue_states: See `charged_requeue_reports`.
        charged_requeue_state_usage: See `charged_requeue_reports`.
        reservation_reports: Usage by user, by reservation, every attempt.
        reservation_requeue_usage: The part of it that was lost to requeues.
        reservation_jobs: Jobs by reservation.
        is_complete: Whether nothing more will be added to this day.
    """

    reports: _Usages = attrs.field(default=_EMPTY, metadata={**_USAGES_OF_USERS, **member(_BY_NAME)})
    components: _Groups = attrs.field(default=_EMPTY, metadata=_USAGES_OF_GROUPS)
    user_job_counts: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    num_jobs: int = attrs.field(default=0, metadata=_COUNT)
    user_wait_seconds: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    total_wait_seconds: int = attrs.field(default=0, metadata=_COUNT)
    user_expansion_milli: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    total_expansion_milli: int = attrs.field(default=0, metadata=_COUNT)
    user_runtime_seconds: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    total_runtime_seconds: int = attrs.field(default=0, metadata=_COUNT)
    user_expansion_jobs: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    num_expansion_jobs: int = attrs.field(default=0, metadata=_COUNT)
    user_allocated_cpus: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    total_allocated_cpus: int = attrs.field(default=0, metadata=_COUNT)
    user_allocated_gpus: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    total_allocated_gpus: int = attrs.field(default=0, metadata=_COUNT)
    requeue_reports: _Usages = attrs.field(default=_EMPTY, metadata=_USAGES_OF_USERS)
    requeue_components: _Groups = attrs.field(default=_EMPTY, metadata=_USAGES_OF_GROUPS)
    user_requeue_events: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    num_requeue_events: int = attrs.field(default=0, metadata=_COUNT)
    user_requeue_wait_seconds: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    requeue_wait_seconds: int = attrs.field(default=0, metadata=_COUNT)
    requeue_states: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS)
    requeue_state_usage: _Usages = attrs.field(default=_EMPTY, metadata=_USAGES)
    charged_requeue_reports: _Usages = attrs.field(default=_EMPTY, metadata=_USAGES_OF_USERS)
    charged_requeue_components: _Groups = attrs.field(default=_EMPTY, metadata=_USAGES_OF_GROUPS)
    user_charged_requeue_events: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    num_charged_requeue_events: int = attrs.field(default=0, metadata=_COUNT)
    user_charged_requeue_wait_seconds: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS_OF_USERS)
    charged_requeue_wait_seconds: int = attrs.field(default=0, metadata=_COUNT)
    charged_requeue_states: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS)
    charged_requeue_state_usage: _Usages = attrs.field(default=_EMPTY, metadata=_USAGES)
    reservation_reports: _Groups = attrs.field(default=_EMPTY, metadata=_USAGES_OF_GROUPS)
    reservation_requeue_usage: _Groups = attrs.field(default=_EMPTY, metadata=_USAGES_OF_GROUPS)
    reservation_jobs: _Counts = attrs.field(default=_EMPTY, metadata=_COUNTS)
    is_complete: bool = attrs.field(default=False, metadata=member(BOOLEAN))

    @property
    def total_usage(self) -> Usage:
        """Usage of all users."""
        return total(self.reports.values())

    @property
    def local_users(self) -> tuple[str, ...]:
        """All users with usage, including `UNKNOWN_USER`, in alphabetical order."""
        return tuple(sorted(self.reports))

    @property
    def mean_wait_seconds(self) -> int:
        """Whole seconds in the queue per job; 0 without jobs."""
        return self.total_wait_seconds // self.num_jobs if self.num_jobs else 0

    @property
    def mean_wait_seconds_with_requeues(self) -> int:
        """Whole seconds in the queue per job, those after requeues included; 0 without jobs."""
        wait = min(self.total_wait_seconds + self.requeue_wait_seconds, MAX_U64)
        return wait // self.num_jobs if self.num_jobs else 0

    @property
    def expansion_jobs(self) -> int:
        """The number of jobs behind expansion and run time: all jobs, if a report does not say."""
        measured = self.total_runtime_seconds or self.total_expansion_milli
        return self.num_expansion_jobs or (self.num_jobs if measured else 0)

    @property
    def mean_runtime_seconds(self) -> int:
        """Whole seconds that a job ran; 0 without jobs."""
        return self.total_runtime_seconds // self.expansion_jobs if self.expansion_jobs else 0

    @property
    def mean_expansion_factor(self) -> float:
        """(wait + run) / run, the mean over jobs; 0 without jobs."""
        return self.total_expansion_milli / 1000 / self.expansion_jobs if self.expansion_jobs else 0.0

    @property
    def aggregate_expansion_factor(self) -> float:
        """(wait + run) / run of all jobs taken together; 0 if nothing ran."""
        runtime = self.total_runtime_seconds
        return min(self.total_wait_seconds + runtime, MAX_U64) / runtime if runtime else 0.0

    @property
    def mean_cpus(self) -> float:
        """Cores per job; 0 without jobs."""
        return self.total_allocated_cpus / self.num_jobs if self.num_jobs else 0.0

    @property
    def mean_gpus(self) -> float:
        """GPUs per job; 0 without jobs."""
        return self.total_allocated_gpus / self.num_jobs if self.num_jobs else 0.0

    @classmethod
    def summed(cls, days: Iterable[DailyProjectUsageReport]) -> Self:
        """Add reports field by field; the sum is complete only if every report is. Sums stop at 2**64 - 1."""
        days = list(days)
        sums: dict[str, Any] = {
            field.name: summed([getattr(day, field.name) for day in days])
            for field in cls.json_fields
            if field.name != "is_complete" and days
        }
        return cls(
            **sums,
            is_complete=all(day.is_complete for day in days),
            unknown=first_of_each(day.unknown for day in days),
        )

    def __add__(self, other: DailyProjectUsageReport) -> DailyProjectUsageReport:
        """Merge two reports about the same day: the sum, which is never complete."""
        if not isinstance(other, DailyProjectUsageReport):
            return NotImplemented
        return _merged([self, other])

    def __mul__(self, factor: float) -> Self:
        """Scale every usage; counts stay, and fractions of seconds are cut off."""
        if not isinstance(factor, int | float):
            return NotImplemented
        changes: dict[str, Any] = {
            field.name: scaled(getattr(self, field.name), factor) for field in self.json_fields
        }
        return attrs.evolve(self, **changes)

    __rmul__ = __mul__

    def renamed_users(self, names: Mapping[str, str]) -> Self:
        """Rename local users.

        Args:
            names: New name by old name; other names stay.

        Raises:
            RefusedError: Two users would have the same name.
        """
        changes: dict[str, Any] = {
            field.name: renamed(getattr(self, field.name), field.metadata[_USER_LEVEL], names)
            for field in attrs.fields(type(self))
            if _USER_LEVEL in field.metadata
        }
        return attrs.evolve(self, **changes)


@attrs.frozen
class UserUsageReport(Record):
    """What one user used.

    Attributes:
        user: The user.
        usage: The amount.
    """

    user: UserIdentifier = attrs.field(metadata=member(value_of(UserIdentifier)))
    usage: Usage = attrs.field(metadata=member(value_of(Usage)))


@attrs.frozen
class ProjectUsageReport(KeepsUnknown):
    """What a project used, day by day.

    Attributes:
        project: Whose usage it is.
        reports: The days.
        users: Local name of each user. Users may belong to another project.
    """

    project: ProjectIdentifier = attrs.field(metadata=member(value_of(ProjectIdentifier)))
    reports: Mapping[Date, DailyProjectUsageReport] = attrs.field(
        metadata=member(map_of(DATE, value_of(DailyProjectUsageReport)))
    )
    users: Mapping[UserIdentifier, str] = attrs.field(
        default=_EMPTY, metadata=member(map_of(value_of(UserIdentifier), TEXT))
    )

    @functools.cached_property
    def total(self) -> DailyProjectUsageReport:
        """The sum of all days, for its figures."""
        days = self.reports.values()
        jobs = min(sum(day.expansion_jobs for day in days), MAX_U64)
        return attrs.evolve(DailyProjectUsageReport.summed(days), num_expansion_jobs=jobs)

    @property
    def total_usage(self) -> Usage:
        """Usage of all users on all days."""
        return total(day.total_usage for day in self.reports.values())

    @property
    def is_complete(self) -> bool:
        """Whether every day is complete; true for an empty report."""
        return all(day.is_complete for day in self.reports.values())

    @property
    def unmapped_users(self) -> tuple[str, ...]:
        """Local names with usage that no entry of `users` names, in alphabetical order."""
        used = {user for day in self.reports.values() for user in day.reports}
        return tuple(sorted(used - set(self.users.values())))

    @property
    def unmapped_usage(self) -> Usage:
        """Usage of `unmapped_users`."""
        unmapped = set(self.unmapped_users)
        return total(
            usage for day in self.reports.values() for user, usage in day.reports.items() if user in unmapped
        )

    def filtered(self, days: DateRange) -> Self:
        """Keep the days of a range, both ends included, and all users."""
        return attrs.evolve(self, reports={date: day for date, day in self.reports.items() if date in days})

    def with_users(self, users: Mapping[UserIdentifier, str]) -> Self:
        """Add local names of users; a user who has a name here keeps it."""
        return attrs.evolve(self, users={**users, **self.users})

    def renamed(self, project: ProjectIdentifier) -> Self:
        """Rename the project, and move its users along."""
        return attrs.evolve(self, project=project, users=renamed_users_of(self.users, self.project, project))

    def renamed_users(self, names: Mapping[str, str]) -> Self:
        """Rename local users, on every day and in `users`.

        Args:
            names: New name by old name; other names stay.

        Raises:
            RefusedError: Two users would have the same name.
        """
        check_distinct(
            {*self.users.values(), *(user for day in self.reports.values() for user in day.reports)}, names
        )
        return attrs.evolve(
            self,
            reports={date: day.renamed_users(names) for date, day in self.reports.items()},
            users={user: names.get(name, name) for user, name in self.users.items()},
        )

    @classmethod
    def combined(cls, reports: Iterable[ProjectUsageReport]) -> ProjectUsageReport:
        """Add reports to the first of them; those of other projects are ignored.

        Raises:
            RefusedError: There are no reports, or they come from different portals.
        """
        reports = list(reports)
        if not reports:
            raise RefusedError("There are no reports to combine")
        first = reports[0]
        for report in reports:
            if report.project.portal != first.project.portal:
                raise RefusedError(
                    f"Reports of {first.project} and {report.project} are of different portals"
                    " and cannot be combined"
                )
        same = [report for report in reports if report.project == first.project]
        days: defaultdict[Date, list[DailyProjectUsageReport]] = defaultdict(list)
        for report in same:
            for date, day in report.reports.items():
                days[date].append(day)
        return cls(
            first.project,
            {date: each[0] if len(each) == 1 else _merged(each) for date, each in days.items()},
            first_of_each(report.users for report in same),
            unknown=first_of_each(report.unknown for report in same),
        )

    def __add__(self, other: ProjectUsageReport) -> ProjectUsageReport:
        """Merge the days of two reports of one project; a day in both is summed and marked incomplete.

        A report of another project is ignored.
        """
        if not isinstance(other, ProjectUsageReport):
            return NotImplemented
        return ProjectUsageReport.combined([self, other]) if other.project == self.project else self

    def __mul__(self, factor: float) -> Self:
        """Scale every usage; counts stay, and fractions of seconds are cut off."""
        if not isinstance(factor, int | float):
            return NotImplemented
        return attrs.evolve(self, reports={date: day * factor for date, day in self.reports.items()})

    __rmul__ = __mul__


@attrs.frozen
class UsageReport(KeepsUnknown):
    """What the projects of a portal used.

    Attributes:
        portal: The portal that owns the projects.
        reports: The projects.
    """

    portal: PortalIdentifier = attrs.field(metadata=member(value_of(PortalIdentifier)))
    reports: Mapping[ProjectIdentifier, ProjectUsageReport] = attrs.field(
        metadata=member(map_of(value_of(ProjectIdentifier), value_of(ProjectUsageReport)))
    )

    def _check(self) -> None:
        check_projects(self.portal, self.reports)

    @property
    def total_usage(self) -> Usage:
        """Usage of all projects."""
        return total(report.total_usage for report in self.reports.values())

    @property
    def is_complete(self) -> bool:
        """Whether every project's report is complete; true for an empty report."""
        return all(report.is_complete for report in self.reports.values())

    def filtered(self, days: DateRange) -> Self:
        """Keep the days of a range, both ends included, and all projects and users."""
        return attrs.evolve(
            self, reports={project: report.filtered(days) for project, report in self.reports.items()}
        )

    @classmethod
    def combined(cls, reports: Iterable[UsageReport]) -> UsageReport:
        """Merge reports of one portal; reports of one project are added.

        Raises:
            RefusedError: There are no reports, or they are of different portals.
        """
        reports = list(reports)
        if not reports:
            raise RefusedError("There are no reports to combine")
        projects: defaultdict[ProjectIdentifier, list[ProjectUsageReport]] = defaultdict(list)
        for report in reports:
            if report.portal != reports[0].portal:
                raise RefusedError(
                    f"Reports of {reports[0].portal} and {report.portal} are of different portals"
                    " and cannot be combined"
                )
            for project, one in report.reports.items():
                projects[project].append(one)
        return cls(
            reports[0].portal,
            {project: ProjectUsageReport.combined(each) for project, each in projects.items()},
            unknown=first_of_each(report.unknown for report in reports),
        )

    def __mul__(self, factor: float) -> Self:
        """Scale every usage; counts stay, and fractions of seconds are cut off."""
        if not isinstance(factor, int | float):
            return NotImplemented
        return attrs.evolve(
            self, reports={project: report * factor for project, report in self.reports.items()}
        )

    __rmul__ = __mul__


def _merged(days: Sequence[DailyProjectUsageReport]) -> DailyProjectUsageReport:
    # Two partial counts of a day may both have missed something.
    return attrs.evolve(DailyProjectUsageReport.summed(days), is_complete=False)
