"""Offerings, between a bridge and its portal."""

from __future__ import annotations

from ..destinations import Destinations
from ..reading import Cut
from ..table import NOBODY, Instruction, instruction


@instruction("sync_offerings", Cut.REST, result="Destinations", owner=NOBODY)
class SyncOfferings(Instruction):
    """Replace the offerings of a portal; with no argument, clear them."""

    offerings: Destinations


@instruction("add_offerings", Cut.REST, result="Destinations", owner=NOBODY)
class AddOfferings(Instruction):
    """Add to the offerings of a portal."""

    offerings: Destinations


@instruction("remove_offerings", Cut.REST, result="Destinations", owner=NOBODY)
class RemoveOfferings(Instruction):
    """Remove some of the offerings of a portal."""

    offerings: Destinations


@instruction("get_offerings", Cut.NONE, result="Destinations", owner=NOBODY)
class GetOfferings(Instruction):
    """List the offerings of a portal."""
