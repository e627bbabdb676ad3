"""Local work: between an instance and its account, filesystem and scheduler agents."""

from __future__ import annotations

from ..dates import DateRange
from ..mappings import ProjectMapping, UserMapping
from ..reading import Cut
from ..storage import QuotaLimit, Volume
from ..table import Instruction, instruction
from ..usage import Usage


@instruction("add_local_project", Cut.REST, result="None", owner="mapping")
class AddLocalProject(Instruction):
    """Make the local group, directories or account of a project."""

    mapping: ProjectMapping


@instruction("remove_local_project", Cut.REST, result="None", owner="mapping")
class RemoveLocalProject(Instruction):
    """Remove what was made for a project."""

    mapping: ProjectMapping


@instruction("add_local_user", Cut.REST, result="None", owner="mapping")
class AddLocalUser(Instruction):
    """Make the local account or directories of a user."""

    mapping: UserMapping


@instruction("remove_local_user", Cut.REST, result="None", owner="mapping")
class RemoveLocalUser(Instruction):
    """Remove what was made for a user."""

    mapping: UserMapping


@instruction("is_local_project_added", Cut.REST, result="bool", owner="mapping", new=True)
class IsLocalProjectAdded(Instruction):
    """Whether an earlier job has added a local project."""

    mapping: ProjectMapping


@instruction("is_local_project_removed", Cut.REST, result="bool", owner="mapping", new=True)
class IsLocalProjectRemoved(Instruction):
    """Whether an earlier job has removed a local project."""

    mapping: ProjectMapping


@instruction("is_local_user_added", Cut.REST, result="bool", owner="mapping", new=True)
class IsLocalUserAdded(Instruction):
    """Whether an earlier job has added a local user."""

    mapping: UserMapping


@instruction("is_local_user_removed", Cut.REST, result="bool", owner="mapping", new=True)
class IsLocalUserRemoved(Instruction):
    """Whether an earlier job has removed a local user."""

    mapping: UserMapping


@instruction("get_local_home_dir", Cut.REST, result="String", owner="mapping")
class GetLocalHomeDir(Instruction):
    """Return the path of a local user's home directory."""

    mapping: UserMapping


@instruction("get_local_user_dirs", Cut.REST, result="Vec<String>", owner="mapping")
class GetLocalUserDirs(Instruction):
    """List the paths of a local user's directories."""

    mapping: UserMapping


@instruction("get_local_project_dirs", Cut.REST, result="Vec<String>", owner="mapping")
class GetLocalProjectDirs(Instruction):
    """List the paths of a local project's directories."""

    mapping: ProjectMapping


@instruction(
    "get_local_usage_report", Cut.WORDS, result="ProjectUsageReport", owner="mapping", default="this_week"
)
class GetLocalUsageReport(Instruction):
    """Report the computing time of a local project, day by day."""

    mapping: ProjectMapping
    dates: DateRange


@instruction(
    "get_local_storage_report", Cut.WORDS, result="ProjectStorageReport", owner="mapping", default="today"
)
class GetLocalStorageReport(Instruction):
    """Report what a local project stores."""

    mapping: ProjectMapping
    dates: DateRange


@instruction("set_local_limit", Cut.WORDS, result="Usage", owner="mapping")
class SetLocalLimit(Instruction):
    """Limit the computing time of a local project. One word is read: `2 hours` are 2 seconds."""

    mapping: ProjectMapping
    limit: Usage


@instruction("get_local_limit", Cut.WORDS, result="Usage", owner="mapping")
class GetLocalLimit(Instruction):
    """Return the limit of a local project's computing time."""

    mapping: ProjectMapping


@instruction("set_local_project_quota", Cut.WORDS_THEN_REST, result="Quota", owner="mapping")
class SetLocalProjectQuota(Instruction):
    """Limit what a local project may store on a volume."""

    mapping: ProjectMapping
    volume: Volume
    limit: QuotaLimit


@instruction("get_local_project_quota", Cut.WORDS, result="Quota", owner="mapping")
class GetLocalProjectQuota(Instruction):
    """Return a local project's quota on a volume."""

    mapping: ProjectMapping
    volume: Volume


@instruction("clear_local_project_quota", Cut.WORDS, result="None", owner="mapping")
class ClearLocalProjectQuota(Instruction):
    """Lift a local project's quota on a volume."""

    mapping: ProjectMapping
    volume: Volume


@instruction("get_local_project_quotas", Cut.WORDS, result="HashMap<Volume, Quota>", owner="mapping")
class GetLocalProjectQuotas(Instruction):
    """Return a local project's quotas on all volumes."""

    mapping: ProjectMapping


@instruction("set_local_user_quota", Cut.WORDS_THEN_REST, result="Quota", owner="mapping")
class SetLocalUserQuota(Instruction):
    """Limit what a local user may store on a volume."""

    mapping: UserMapping
    volume: Volume
    limit: QuotaLimit


@instruction("get_local_user_quota", Cut.WORDS, result="Quota", owner="mapping")
class GetLocalUserQuota(Instruction):
    """Return a local user's quota on a volume."""

    mapping: UserMapping
    volume: Volume


@instruction("clear_local_user_quota", Cut.WORDS, result="None", owner="mapping")
class ClearLocalUserQuota(Instruction):
    """Lift a local user's quota on a volume."""

    mapping: UserMapping
    volume: Volume


@instruction("get_local_user_quotas", Cut.WORDS, result="HashMap<Volume, Quota>", owner="mapping")
class GetLocalUserQuotas(Instruction):
    """Return a local user's quotas on all volumes."""

    mapping: UserMapping
