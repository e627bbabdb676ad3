"""How the text of an instruction is split into arguments, with errors that point to the place; and how it is written.

Protocol page *grammar*, section 9. A reader and a writer are made once for each row of the table, so reading an
instruction is one look-up and one call, however large the table is.
"""

from __future__ import annotations

import datetime as dt
import enum
import operator
from collections.abc import Callable
from typing import Any

import attrs

from ..errors import ParseError

ArgumentReader = Callable[[str, "dt.date | None", int], object]
"""Reads an argument from its text, the day that `today` is, and the depth that is left."""

RowReader = Callable[[str, int, "dt.date | None", int], Any]
"""Reads an instruction from its text, the index where its arguments begin, the day, and the depth.

Returns an instance of its row, which the type cannot express."""

RowWriter = Callable[[Any], str]
"""Writes an instance of the row that it was made for."""


class Cut(enum.Enum):
    """How the text after the keyword is split into arguments."""

    REST = "rest"
    """One argument: everything after the first space."""
    WORDS = "words"
    """Argument *n* is word *n*; extra words are ignored."""
    WORDS_THEN_REST = "words, then rest"
    """Like words, but the last argument is all the remaining text."""
    NONE = "none"
    """No argument; any further text is ignored."""


@attrs.frozen
class Argument:
    """One argument of an instruction.

    Attributes:
        name: Name of the field.
        kind: Its type: one with `parse`, or str for a path.
        default: Text to parse if the argument is omitted, or None if it is required.
        read: Parses it.
        store: Fills the slot of an instruction with it.
    """

    name: str
    kind: type[Any]  # any class with `parse`; they share no base, because `Date` and str are among them
    default: str | None
    read: ArgumentReader
    store: Callable[[object, object], None]


@attrs.frozen
class Row:
    """What a reader and a writer need from a row of the table.

    Attributes:
        kind: The class of the instruction.
        keyword: The word that it begins with.
        cut: How its text is split.
        parameters: Its arguments, in order.
    """

    kind: type[Any]
    keyword: str
    cut: Cut
    parameters: tuple[Argument, ...]

    def reader(self) -> RowReader:
        """Return the reader. Values go straight into the slots, since parsing has checked them."""
        match self.cut:
            case Cut.NONE:
                return lambda _text, _start, _today, _depth: self.kind()
            case Cut.REST:
                return self._rest_reader()
            case Cut.WORDS:
                return self._words_reader(len(self.parameters))
            case Cut.WORDS_THEN_REST:
                return self._words_reader(len(self.parameters) - 1)

    def writer(self) -> RowWriter:
        """Return the writer of the canonical text."""
        if not self.parameters:
            return lambda _made: self.keyword
        values = operator.attrgetter(*(each.name for each in self.parameters))
        begin = f"{self.keyword} "
        if len(self.parameters) == 1:
            return lambda made: f"{begin}{values(made)}"
        return lambda made: begin + " ".join(map(str, values(made)))

    def _rest_reader(self) -> RowReader:
        (parameter,) = self.parameters
        kind, parse, store, new = self.kind, parameter.kind.parse, parameter.store, object.__new__

        def read(text: str, start: int, _today: dt.date | None, _depth: int) -> Any:
            try:
                value = parse(text[start:])
            except ParseError as error:
                raise self._blame(parameter, error, text, start) from None
            made = new(kind)
            store(made, value)
            return made

        return read

    def _words_reader(self, cuts: int) -> RowReader:
        kind, new = self.kind, object.__new__
        fields = tuple(enumerate((each, each.read, each.store) for each in self.parameters))

        def read(text: str, start: int, today: dt.date | None, depth: int) -> Any:
            made = new(kind)
            pieces = text[start:].split(" ", cuts)
            for index, (parameter, read_argument, store) in fields:
                try:
                    value = read_argument(pieces[index], today, depth)
                except IndexError:
                    value = self._default(parameter, text, today, depth)
                except ParseError as error:
                    start += sum(map(len, pieces[:index])) + index
                    raise self._blame(parameter, error, text, start) from None
                store(made, value)
            return made

        return read

    def _default(self, parameter: Argument, text: str, today: dt.date | None, depth: int) -> object:
        if parameter.default is None:
            raise self._lack(parameter, text)
        return parameter.read(parameter.default, today, depth)

    def _lack(self, parameter: Argument, text: str) -> ParseError:
        kind = parameter.kind.__name__
        message = f"{self.keyword} lacks its {parameter.name} ({kind})"
        return ParseError(message, text=text, position=len(text), expected=kind)

    def _blame(self, parameter: Argument, error: ParseError, text: str, start: int) -> ParseError:
        """Return the error of an argument relative to the whole instruction, naming common mistakes."""
        if start >= len(text):
            return self._lack(parameter, text)
        if self.cut is not Cut.REST and text[start] == " ":
            message = "Two spaces in a row: between the words of an instruction stands one"
            return ParseError(message, text=text, position=start, expected=parameter.kind.__name__)
        return error.inside(text, start)
