"""Commands: a path and an instruction, which a job carries.

Protocol page *grammar*, section 11. Only here are runs of white space, of any kind, reduced to one space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import attrs

from ..errors import ParseError
from .destinations import Destination
from .table import MAX_LENGTH, Instruction
from .text import TextValue, slot_setter
from .whitespace import word_starts, words

if TYPE_CHECKING:
    import datetime as dt


@attrs.frozen(repr=False)
class Command(TextValue):
    """A path and what its last agent should do: `waldur.brics.notebook add_user fred.proj.waldur`.

    Attributes:
        destination: The path that the command travels.
        instruction: What the last agent on the path should do.
    """

    destination: Destination = attrs.field(validator=attrs.validators.instance_of(Destination))
    instruction: Instruction = attrs.field(validator=attrs.validators.instance_of(Instruction))

    @classmethod
    def parse(cls, text: str, *, today: dt.date | None = None) -> Self:
        """Read a path and an instruction, separated by white space of any kind and amount.

        The portal rule is not applied: `check_portal` does that.

        Args:
            text: `<destination> <instruction>`.
            today: The day that names such as `this_week` count from; the local calendar's if not given.

        Raises:
            ParseError: The text is not a command.
        """
        if len(text) > MAX_LENGTH:
            message = f"A command has at most {MAX_LENGTH} characters; this has {len(text)}"
            raise ParseError(message, text=text[:100])
        path, _, rest = " ".join(words(text)).partition(" ")
        try:
            destination = Destination.parse(path)
        except ParseError as error:
            raise error.inside(text, text.find(path)) from None
        if not rest:
            message = "A command is a destination and an instruction; the instruction is missing"
            raise ParseError(message, text=text, position=len(text), expected="an instruction")
        try:
            instruction = Instruction.parse(rest, today=today)
        except ParseError as error:
            position = _untidied(text, rest.split(" "), error.position or 0)
            raise error.inside(text, position - (error.position or 0)) from None
        made = object.__new__(cls)
        _set_destination(made, destination)
        _set_instruction(made, instruction)
        return made

    def __str__(self) -> str:
        """The canonical text."""
        return f"{self.destination} {self.instruction}"


# What was just read has the types that the constructor checks, so the slots are filled directly.
_set_destination = slot_setter(Command, "destination")
_set_instruction = slot_setter(Command, "instruction")


def _untidied(text: str, rest: list[str], position: int) -> int:
    """Return the index in `text` of the character at `position` of the tidied instruction."""
    for start, word in zip(word_starts(text)[1:], rest, strict=True):
        if position <= len(word):
            return start + position
        position -= len(word) + 1
    return len(text)
