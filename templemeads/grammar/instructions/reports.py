"""Reports."""

from __future__ import annotations

from ..dates import DateRange
from ..identifiers import PortalIdentifier, ProjectIdentifier
from ..reading import Cut
from ..table import Instruction, instruction


@instruction("get_usage_report", Cut.WORDS, result="ProjectUsageReport", owner="project", default="this_week")
class GetUsageReport(Instruction):
    """Report the computing time of a project, day by day."""

    project: ProjectIdentifier
    dates: DateRange


@instruction("get_usage_reports", Cut.WORDS, result="UsageReport", owner="portal", default="this_week")
class GetUsageReports(Instruction):
    """Report the computing time of all projects of a portal."""

    portal: PortalIdentifier
    dates: DateRange


@instruction("get_storage_report", Cut.WORDS, result="ProjectStorageReport", owner="project", default="today")
class GetStorageReport(Instruction):
    """Report what a project stores."""

    project: ProjectIdentifier
    dates: DateRange


@instruction("get_storage_reports", Cut.WORDS, result="StorageReport", owner="portal", default="today")
class GetStorageReports(Instruction):
    """Report what all projects of a portal store."""

    portal: PortalIdentifier
    dates: DateRange
