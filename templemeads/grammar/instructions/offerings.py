"""Offerings, between a bridge and its portal."""

from templemeads.grammar.destinations import Destinations
from templemeads.grammar.reading import Cut
from templemeads.grammar.table import NOBODY, Instruction, instruction


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
    """Take some of the offerings of a portal away."""

    offerings: Destinations


@instruction("get_offerings", Cut.NONE, result="Destinations", owner=NOBODY)
class GetOfferings(Instruction):
    """List the offerings of a portal."""
