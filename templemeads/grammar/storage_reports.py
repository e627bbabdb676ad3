"""Reports of storage: current usage, optionally with older snapshots, per project and per portal.

Source: the protocol page *json-types*, section 7.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Self

import attrs

from ..errors import ParseError, RefusedError
from .awards import DATE
from .dates import Date, DateRange
from .forms import TEXT, KeepsUnknown, map_of, member, value_of
from .frozenmap import FrozenMap
from .identifiers import PortalIdentifier, ProjectIdentifier, UserIdentifier
from .report_parts import check_projects, first_of_each, renamed_users_of
from .storage import Quota, Volume
from .timestamps import Timestamp

QUOTAS = map_of(value_of(Volume), value_of(Quota))
"""The form of `HashMap<Volume, Quota>`."""

_PROJECT = member(value_of(ProjectIdentifier))
_TIME = member(value_of(Timestamp))
_QUOTAS = member(QUOTAS)
_QUOTAS_OF_USERS = member(map_of(value_of(UserIdentifier), QUOTAS))
_EMPTY: FrozenMap[Any, Any] = FrozenMap()


@attrs.frozen
class ProjectStorageSnapshot(KeepsUnknown):
    """The storage of a project at an earlier time.

    Attributes:
        project: Whose storage it is.
        generated_at: When it was measured.
        project_quotas: Quota of the project on each volume.
        user_quotas: Quotas of each user, by volume.
    """

    project: ProjectIdentifier = attrs.field(metadata=_PROJECT)
    generated_at: Timestamp = attrs.field(metadata=_TIME)
    project_quotas: Mapping[Volume, Quota] = attrs.field(metadata=_QUOTAS)
    user_quotas: Mapping[UserIdentifier, Mapping[Volume, Quota]] = attrs.field(metadata=_QUOTAS_OF_USERS)

    def renamed(self, project: ProjectIdentifier) -> Self:
        """Rename the project, and move its users along."""
        quotas = renamed_users_of(self.user_quotas, self.project, project)
        return attrs.evolve(self, project=project, user_quotas=quotas)


@attrs.frozen
class ProjectStorageReport(KeepsUnknown):
    """The storage of a project, optionally with snapshots of earlier days. Fields are not checked against
    each other.

    Attributes:
        project: Whose storage it is.
        generated_at: When it was measured.
        project_quotas: Quota of the project on each volume.
        user_quotas: Quotas of each user, by volume.
        users: Local name of each user.
        daily_reports: Snapshots of earlier days.
    """

    project: ProjectIdentifier = attrs.field(metadata=_PROJECT)
    generated_at: Timestamp = attrs.field(metadata=_TIME)
    project_quotas: Mapping[Volume, Quota] = attrs.field(metadata=_QUOTAS)
    user_quotas: Mapping[UserIdentifier, Mapping[Volume, Quota]] = attrs.field(metadata=_QUOTAS_OF_USERS)
    users: Mapping[UserIdentifier, str] = attrs.field(metadata=member(map_of(value_of(UserIdentifier), TEXT)))
    daily_reports: Mapping[Date, ProjectStorageSnapshot] = attrs.field(
        default=_EMPTY, metadata=member(map_of(DATE, value_of(ProjectStorageSnapshot)), always=False)
    )

    @property
    def snapshot(self) -> ProjectStorageSnapshot:
        """The current storage, as a snapshot."""
        return ProjectStorageSnapshot(self.project, self.generated_at, self.project_quotas, self.user_quotas)

    def filtered(self, days: DateRange) -> Self:
        """Keep only the snapshots of a range, both ends included; the current storage stays."""
        kept = {date: snapshot for date, snapshot in self.daily_reports.items() if date in days}
        return attrs.evolve(self, daily_reports=kept)

    def renamed(self, project: ProjectIdentifier) -> Self:
        """Rename the project, and move its users along, in the snapshots too."""
        return attrs.evolve(
            self,
            project=project,
            user_quotas=renamed_users_of(self.user_quotas, self.project, project),
            users=renamed_users_of(self.users, self.project, project),
            daily_reports={date: snapshot.renamed(project) for date, snapshot in self.daily_reports.items()},
        )

    @classmethod
    def combined(cls, reports: Iterable[ProjectStorageReport]) -> ProjectStorageReport:
        """Merge reports into the first of them; those of other projects are ignored.

        Raises:
            RefusedError: There are no reports, or they come from different portals.
        """
        reports = list(reports)
        if not reports:
            raise RefusedError("There are no reports to combine")
        combined = reports[0]
        for report in reports[1:]:
            if report.project.portal != combined.project.portal:
                raise RefusedError(
                    f"Reports of {combined.project} and {report.project} are of different portals"
                    " and cannot be combined"
                )
            combined += report
        return combined

    def __add__(self, other: ProjectStorageReport) -> ProjectStorageReport:
        """Merge two reports of one project; a report of another project is ignored.

        The later report becomes the current one (this one, if equal), the other the snapshot of its day in
        UTC. Of two snapshots of a day the later wins, and the current day has no snapshot.
        """
        if not isinstance(other, ProjectStorageReport):
            return NotImplemented
        if other.project != self.project:
            return self
        top, below = (self, other) if self.generated_at >= other.generated_at else (other, self)
        snapshots = dict(self.daily_reports)
        newer = [*other.daily_reports.items()]
        if (day := _day(below.generated_at)) is not None:
            newer.append((day, below.snapshot))
        for date, snapshot in newer:
            if date not in snapshots or snapshots[date].generated_at < snapshot.generated_at:
                snapshots[date] = snapshot
        today = _day(top.generated_at)
        return attrs.evolve(
            top,
            users={**below.users, **top.users},
            daily_reports={date: snapshot for date, snapshot in snapshots.items() if date != today},
            unknown={**below.unknown, **top.unknown},
        )


@attrs.frozen
class StorageReport(KeepsUnknown):
    """The storage of the projects of a portal.

    Attributes:
        portal: The portal that owns the projects.
        reports: The projects.
    """

    portal: PortalIdentifier = attrs.field(metadata=member(value_of(PortalIdentifier)))
    reports: Mapping[ProjectIdentifier, ProjectStorageReport] = attrs.field(
        metadata=member(map_of(value_of(ProjectIdentifier), value_of(ProjectStorageReport)))
    )

    def _check(self) -> None:
        check_projects(self.portal, self.reports)

    def filtered(self, days: DateRange) -> Self:
        """Keep the snapshots of a range, both ends included, and the current storage of each project."""
        return attrs.evolve(
            self, reports={project: report.filtered(days) for project, report in self.reports.items()}
        )

    @classmethod
    def combined(cls, reports: Iterable[StorageReport]) -> StorageReport:
        """Merge reports of one portal; reports of one project are merged into one.

        Raises:
            RefusedError: There are no reports, or they are of different portals.
        """
        reports = list(reports)
        if not reports:
            raise RefusedError("There are no reports to combine")
        projects: defaultdict[ProjectIdentifier, list[ProjectStorageReport]] = defaultdict(list)
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
            {project: ProjectStorageReport.combined(each) for project, each in projects.items()},
            unknown=first_of_each(report.unknown for report in reports),
        )


def _day(moment: Timestamp) -> Date | None:
    try:
        return Date(*moment.civil_day)
    except (ParseError, ValueError):  # outside the years that the protocol allows in dates
        return None
