"""Limits and quotas."""

from __future__ import annotations

from ..identifiers import ProjectIdentifier, UserIdentifier
from ..reading import Cut
from ..storage import QuotaLimit, Volume
from ..table import Instruction, instruction
from ..usage import Usage


@instruction("set_limit", Cut.WORDS_THEN_REST, result="Usage", owner="project")
class SetLimit(Instruction):
    """Limit the computing time of a project."""

    project: ProjectIdentifier
    limit: Usage


@instruction("get_limit", Cut.WORDS, result="Usage", owner="project")
class GetLimit(Instruction):
    """Return the limit of a project's computing time."""

    project: ProjectIdentifier


@instruction("set_project_quota", Cut.WORDS_THEN_REST, result="Quota", owner="project")
class SetProjectQuota(Instruction):
    """Limit what a project may store on a volume."""

    project: ProjectIdentifier
    volume: Volume
    limit: QuotaLimit


@instruction("get_project_quota", Cut.WORDS, result="Quota", owner="project")
class GetProjectQuota(Instruction):
    """Return a project's quota on a volume."""

    project: ProjectIdentifier
    volume: Volume


@instruction("clear_project_quota", Cut.WORDS, result="None", owner="project")
class ClearProjectQuota(Instruction):
    """Lift a project's quota on a volume."""

    project: ProjectIdentifier
    volume: Volume


@instruction("get_project_quotas", Cut.WORDS, result="HashMap<Volume, Quota>", owner="project")
class GetProjectQuotas(Instruction):
    """Return a project's quotas on all volumes."""

    project: ProjectIdentifier


@instruction("set_user_quota", Cut.WORDS_THEN_REST, result="Quota", owner="user")
class SetUserQuota(Instruction):
    """Limit what a user may store on a volume."""

    user: UserIdentifier
    volume: Volume
    limit: QuotaLimit


@instruction("get_user_quota", Cut.WORDS, result="Quota", owner="user")
class GetUserQuota(Instruction):
    """Return a user's quota on a volume."""

    user: UserIdentifier
    volume: Volume


@instruction("clear_user_quota", Cut.WORDS, result="None", owner="user")
class ClearUserQuota(Instruction):
    """Lift a user's quota on a volume."""

    user: UserIdentifier
    volume: Volume


@instruction("get_user_quotas", Cut.WORDS, result="HashMap<Volume, Quota>", owner="user")
class GetUserQuotas(Instruction):
    """Return a user's quotas on all volumes."""

    user: UserIdentifier
