"""Carrying another instruction.

The last agent of the path unpacks what is inside and puts it as a job of its own.
"""

from __future__ import annotations

from ...errors import ParseError
from ..destinations import Destination
from ..reading import Cut
from ..table import MAX_DEPTH, NOBODY, Instruction, instruction


@instruction("submit", Cut.WORDS_THEN_REST, result=None, owner=NOBODY)
class Submit(Instruction):
    """Send an instruction along another path, from the last agent of this one."""

    destination: Destination
    instruction: Instruction

    def __attrs_post_init__(self) -> None:
        """Check the types, and that no text overflows a stack."""
        Instruction.__attrs_post_init__(self)
        inner = self.instruction
        for _ in range(MAX_DEPTH - 1):
            if not isinstance(inner, Submit):
                return
            inner = inner.instruction
        raise ParseError(f"No more than {MAX_DEPTH} instructions may be inside of each other")

    def result_type(self) -> str:
        """Name the type of result that the instruction inside is expected to have."""
        return self.instruction.result_type()
