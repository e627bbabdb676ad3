"""Projects and users, at a system."""

from __future__ import annotations

from ..identifiers import ProjectIdentifier, UserIdentifier
from ..reading import Cut
from ..table import Instruction, check_path, instruction


@instruction("add_project", Cut.REST, result="ProjectMapping", owner="project")
class AddProject(Instruction):
    """Make room for a project: its group and directories."""

    project: ProjectIdentifier


@instruction("is_existing_project", Cut.REST, result="bool", owner="project")
class IsExistingProject(Instruction):
    """Whether a project is there."""

    project: ProjectIdentifier


@instruction("get_users", Cut.REST, result="Vec<UserMapping>", owner="project")
class GetUsers(Instruction):
    """List the users of a project."""

    project: ProjectIdentifier


@instruction("add_user", Cut.REST, result="UserMapping", owner="user")
class AddUser(Instruction):
    """Create the account of a user, and of the user's project if there is none yet."""

    user: UserIdentifier


@instruction("remove_user", Cut.REST, result="UserMapping", owner="user")
class RemoveUser(Instruction):
    """Remove the account of a user."""

    user: UserIdentifier


@instruction("is_existing_user", Cut.REST, result="bool", owner="user")
class IsExistingUser(Instruction):
    """Whether a user has an account."""

    user: UserIdentifier


@instruction("is_protected_user", Cut.REST, result="bool", owner="user")
class IsProtectedUser(Instruction):
    """Whether an account is one that agents leave alone."""

    user: UserIdentifier


@instruction("is_project_added", Cut.REST, result="bool", owner="project", new=True)
class IsProjectAdded(Instruction):
    """Whether an earlier job has added a project."""

    project: ProjectIdentifier


@instruction("is_project_removed", Cut.REST, result="bool", owner="project", new=True)
class IsProjectRemoved(Instruction):
    """Whether an earlier job has removed a project."""

    project: ProjectIdentifier


@instruction("is_user_added", Cut.REST, result="bool", owner="user", new=True)
class IsUserAdded(Instruction):
    """Whether an earlier job has added a user."""

    user: UserIdentifier


@instruction("is_user_removed", Cut.REST, result="bool", owner="user", new=True)
class IsUserRemoved(Instruction):
    """Whether an earlier job has removed a user."""

    user: UserIdentifier


@instruction("block_user", Cut.REST, result="UserMapping", owner="user")
class BlockUser(Instruction):
    """Keep a user out without removing anything."""

    user: UserIdentifier


@instruction("unblock_user", Cut.REST, result="UserMapping", owner="user")
class UnblockUser(Instruction):
    """Let a blocked user in again."""

    user: UserIdentifier


@instruction("is_blocked_user", Cut.REST, result="bool", owner="user")
class IsBlockedUser(Instruction):
    """Whether a user is blocked."""

    user: UserIdentifier


@instruction("block_project", Cut.REST, result="Vec<UserMapping>", owner="project")
class BlockProject(Instruction):
    """Keep all users of a project out."""

    project: ProjectIdentifier


@instruction("unblock_project", Cut.REST, result="Vec<UserMapping>", owner="project")
class UnblockProject(Instruction):
    """Let the users of a blocked project in again."""

    project: ProjectIdentifier


@instruction("is_blocked_project", Cut.REST, result="bool", owner="project")
class IsBlockedProject(Instruction):
    """Whether a project is blocked."""

    project: ProjectIdentifier


@instruction("get_project_mapping", Cut.REST, result="ProjectMapping", owner="project")
class GetProjectMapping(Instruction):
    """Return the local group of a project."""

    project: ProjectIdentifier


@instruction("get_user_mapping", Cut.REST, result="UserMapping", owner="user")
class GetUserMapping(Instruction):
    """Return the local user and group of a user."""

    user: UserIdentifier


@instruction("get_home_dir", Cut.REST, result="String", owner="user")
class GetHomeDir(Instruction):
    """Return the path of a user's home directory."""

    user: UserIdentifier


@instruction("get_user_dirs", Cut.REST, result="Vec<String>", owner="user")
class GetUserDirs(Instruction):
    """List the paths of a user's directories."""

    user: UserIdentifier


@instruction("get_project_dirs", Cut.REST, result="Vec<String>", owner="project")
class GetProjectDirs(Instruction):
    """List the paths of a project's directories."""

    project: ProjectIdentifier


@instruction("update_homedir", Cut.WORDS, result="String", owner="user")
class UpdateHomedir(Instruction):
    """Report the home directory of a user. The path is unchecked: it may be relative or contain `..`."""

    user: UserIdentifier
    path: str

    def __attrs_post_init__(self) -> None:
        """Check the types, and that the path can be written."""
        Instruction.__attrs_post_init__(self)
        check_path(self.path)
