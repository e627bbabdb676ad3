"""Awards and projects, at a portal."""

from __future__ import annotations

from ..awards import AwardDetails
from ..identifiers import PortalIdentifier, ProjectIdentifier
from ..reading import Cut
from ..table import Instruction, instruction


@instruction(
    "create_project",
    Cut.WORDS_THEN_REST,
    result="ProjectMapping",
    owner="project",
    synonyms=("create_award",),
)
class CreateProject(Instruction):
    """Create a project with an award."""

    project: ProjectIdentifier
    details: AwardDetails


@instruction(
    "update_project",
    Cut.WORDS_THEN_REST,
    result="ProjectMapping",
    owner="project",
    synonyms=("update_award",),
)
class UpdateProject(Instruction):
    """Change a project's award; what is unset in the details stays as it is."""

    project: ProjectIdentifier
    details: AwardDetails


@instruction("remove_project", Cut.REST, result="ProjectMapping", owner="project", synonyms=("remove_award",))
class RemoveProject(Instruction):
    """Remove a project and its award."""

    project: ProjectIdentifier


@instruction("get_project", Cut.REST, result="ProjectDetails", owner="project")
class GetProject(Instruction):
    """Return the details of a project."""

    project: ProjectIdentifier


@instruction("get_award", Cut.REST, result="ProjectDetails", owner="project")
class GetAward(Instruction):
    """Return the details of a project's award."""

    project: ProjectIdentifier


@instruction("get_projects", Cut.REST, result="Vec<ProjectMapping>", owner="portal")
class GetProjects(Instruction):
    """List the projects of a portal."""

    portal: PortalIdentifier


@instruction("get_awards", Cut.REST, result="Vec<ProjectDetails>", owner="portal", synonyms=("list_awards",))
class GetAwards(Instruction):
    """List the details of the awards of a portal; they do not say whose they are."""

    portal: PortalIdentifier
