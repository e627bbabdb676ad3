"""The portal rule: a portal may name only its own users and projects.

Protocol page *grammar*, section 12. It applies where commands enter the network; jobs from
peers are not checked. It covers every instruction that names a portal, including those that older agents
forget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ParseError
from ..text import quoted

if TYPE_CHECKING:
    from .destinations import Destination
    from .table import Instruction


def check_portal(destination: Destination, instruction: Instruction) -> None:
    """Check a command against the portal rule.

    An instruction that carries another is not checked, and neither is what it carries: the portal that
    unpacks it checks that against the inner path.

    Args:
        destination: The path of the command.
        instruction: What the command asks for.

    Raises:
        ParseError: The instruction names another portal than the first agent of the path.
    """
    portal = instruction.owning_portal()
    if portal is not None and portal != destination.first:
        raise ParseError(
            f"{instruction.keyword} speaks of the portal {quoted(portal)}, but its path begins at "
            f"{quoted(destination.first)}: a portal may only speak of what is its own",
            text=f"{destination} {instruction}",
            expected=f"something of the portal {destination.first}",
        )
