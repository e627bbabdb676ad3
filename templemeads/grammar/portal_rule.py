"""The portal rule: nobody may speak of the users, projects and portals of another portal.

Protocol page *grammar*, section 12. Whoever accepts commands from outside of the network applies it; jobs
that come from peers are not subject to it. It covers every instruction that names a portal, also those which
older agents forget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ParseError
from ..text import quoted

if TYPE_CHECKING:
    from .destinations import Destination
    from .table import Instruction


def check_portal(destination: Destination, instruction: Instruction) -> None:
    """Hold a command to the portal rule.

    An instruction that carries another is not checked, and neither is what it carries: the portal that
    unpacks it checks that against the inner path.

    Args:
        destination: The path of the command.
        instruction: What the command asks for.

    Raises:
        ParseError: The instruction speaks of another portal than the first agent of the path.
    """
    portal = instruction.owning_portal()
    if portal is not None and portal != destination.first:
        raise ParseError(
            f"{instruction.keyword} speaks of the portal {quoted(portal)}, but its path begins at "
            f"{quoted(destination.first)}: a portal may only speak of what is its own",
            text=f"{destination} {instruction}",
            expected=f"something of the portal {destination.first}",
        )
