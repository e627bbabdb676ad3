"""Projects and users, at a system."""

from templemeads.grammar.identifiers import UserIdentifier
from templemeads.grammar.table import Cut, Instruction, instruction


@instruction("add_user", Cut.REST, result="UserMapping", owner="user")
class AddUser(Instruction):
    """Create the account of a user, and of the user's project if there is none yet."""

    user: UserIdentifier


@instruction("remove_user", Cut.REST, result="UserMapping", owner="user")
class RemoveUser(Instruction):
    """Remove the account of a user."""

    user: UserIdentifier
