"""The one table of instructions: name, arguments, result, and the field that the portal rule checks.

A row of the table is a class with fields, under the decorator `instruction`. Everything else comes from these
rows: reading and printing (here), the portal rule (`portal_rule`), the declared results, the documentation. The rows
are in the modules of `templemeads.grammar.instructions`, one module for each family.

Protocol page *grammar*, sections 9 and 10.

Rule 1. Words are split at single U+0020 and nothing else; other white space is up to the argument's type.

Rule 2. A keyword is looked up, never searched for: the cost of reading does not grow with the table.

Rule 3. `submit` carries an instruction, which may carry another: depth is counted, so that no text overflows the stack.
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
import inspect
import operator
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar, dataclass_transform

import attrs

from ..errors import ParseError
from ..text import quoted
from .dates import DateRange
from .reading import Argument, ArgumentReader, Cut, Row, RowReader, RowWriter
from .text import TextValue, slot_setter
from .whitespace import refuse_surrogates, trim

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH: Final = 8
"""Maximum nesting of instructions. Existing agents write one `submit` around an instruction."""

MAX_LENGTH: Final = 4 * 1024 * 1024
"""Maximum length of an instruction: twice what the newer generation accepts in a frame."""

T = TypeVar("T", bound="Instruction")


class Nobody(enum.Enum):
    """The owner of an instruction that names no portal, project or user."""

    NOBODY = "nobody"


NOBODY: Final = Nobody.NOBODY


_BY_KEYWORD: Final[dict[str, type[Instruction]]] = {}
"""The decorator fills this while the families are imported; nothing changes it later."""


class Instruction(TextValue):
    """A request to an agent. Each instruction is a class with typed fields.

    Attributes:
        keyword: The word it begins with when written.
        synonyms: Other words it may begin with when read.
        cut: How its text is split into arguments.
        result: Name of the expected result type, or None for that of the nested instruction.
        owner: Name of the field whose portal must be the sender's, or NOBODY.
        new: Whether agents before the newer generation do not know it.
        parameters: Its arguments, in order.
        reader: Reads its arguments.
        writer: Writes its canonical text.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    keyword: ClassVar[str]
    synonyms: ClassVar[tuple[str, ...]]
    cut: ClassVar[Cut]
    result: ClassVar[str | None]
    owner: ClassVar[str | Nobody]
    new: ClassVar[bool]
    parameters: ClassVar[tuple[Argument, ...]]
    reader: ClassVar[RowReader]
    writer: ClassVar[RowWriter]

    def __attrs_post_init__(self) -> None:
        """Refuse arguments of other types; the values themselves are already checked."""
        for parameter in self.parameters:
            value = getattr(self, parameter.name)
            if not isinstance(value, parameter.kind):
                raise TypeError(
                    f"{parameter.name} of {type(self).__name__} must be a {parameter.kind.__name__}, "
                    f"not {type(value).__name__}"
                )

    @classmethod
    def parse(cls, text: str, *, today: dt.date | None = None, max_depth: int = MAX_DEPTH) -> Self:
        """Read an instruction, such as `add_user fred.proj.waldur`.

        On a subclass, it accepts only that instruction.

        Args:
            text: The keyword and its arguments, separated by single spaces.
            today: The day that names such as `this_week` count from; the local calendar's if not given.
            max_depth: Maximum nesting of instructions.

        Raises:
            ParseError: The instruction is unknown, or its arguments are invalid.
        """
        if len(text) > MAX_LENGTH:
            raise ParseError(
                f"An instruction has at most {MAX_LENGTH} characters; this has {len(text)}", text=text[:100]
            )
        keyword = text.partition(" ")[0]
        row = _BY_KEYWORD.get(keyword)
        if row is None:
            raise _unknown(keyword, text)
        if not issubclass(row, cls):
            message = f"This is {row.keyword}, not {cls.keyword}"
            raise ParseError(message, text=text, position=0, expected=cls.keyword)
        if max_depth < 1:
            message = f"No more than {MAX_DEPTH} instructions may be inside of each other"
            raise ParseError(message, text=text, position=0, expected="an instruction that carries no other")
        return row.reader(text, len(keyword) + 1, today, max_depth)  # type: ignore[no-any-return]

    def arguments(self) -> list[str]:
        """Return the canonical text of each argument."""
        return [str(getattr(self, parameter.name)) for parameter in self.parameters]

    def result_type(self) -> str:
        """Return the name of the expected result type; for a carrier, that of the nested instruction."""
        if self.result is None:
            raise NotImplementedError
        return self.result

    def owning_portal(self) -> str | None:
        """Return the portal that owns what the instruction names, or None."""
        if isinstance(self.owner, Nobody):
            return None
        portal = getattr(self, self.owner).portal
        return str(portal)

    @classmethod
    def family(cls) -> str:
        """Return the name of this instruction's family."""
        return (sys.modules[cls.__module__].__doc__ or "").partition("\n")[0].rstrip(".")

    def __str__(self) -> str:
        """The canonical text."""
        return type(self).writer(self)


def instructions() -> tuple[type[Instruction], ...]:
    """Return the rows of the table, in its order."""
    return tuple(dict.fromkeys(_BY_KEYWORD.values()))


def is_instruction(keyword: str) -> bool:
    """Whether an instruction, or a synonym of one, has this name."""
    return keyword in _BY_KEYWORD


def find_instruction(keyword: str) -> type[Instruction]:
    """Return the class of the instruction with this name or synonym.

    Raises:
        ParseError: There is no such instruction.
    """
    if keyword in _BY_KEYWORD:
        return _BY_KEYWORD[keyword]
    raise _unknown(keyword, keyword)


def _unknown(word: str, text: str) -> ParseError:
    return ParseError(
        f"There is no instruction {quoted(word)}" if word else "An instruction begins with its keyword",
        text=text,
        position=0,
        expected="the keyword of an instruction",
        misspelt=word,
        known=_BY_KEYWORD,
    )


def check_path(path: str) -> str:
    """Return a path unchanged if it can be the argument of an instruction: no spaces, no white space at its ends.

    Nothing else is checked. Check the path before you use it.

    Raises:
        ParseError: It is empty, contains a space, or begins or ends with other white space.
    """
    if not path or " " in path or trim(path) != path:
        position = max(path.find(" "), 0)
        expected = "a path without spaces"
        message = "A path holds no space" if path else "The path is empty"
        raise ParseError(message, text=path, position=position, expected=expected)
    refuse_surrogates(path)
    return path


def _reader(kind: type[Any]) -> ArgumentReader:
    """Return the function that reads arguments of a type."""
    if kind is str:
        return lambda text, _today, _depth: check_path(trim(text))
    if kind is Instruction:
        return lambda text, today, depth: Instruction.parse(text, today=today, max_depth=depth - 1)
    if kind is DateRange:
        return lambda text, today, _depth: DateRange.parse(text, today=today)
    parse = kind.parse
    return lambda text, _today, _depth: parse(text)


# attrs generates and compiles methods for each class, at ten times the cost of the class itself; so rows with the same
# fields inherit them from one class. The cache holds these classes; all of them are made during import.
@functools.cache
def _shape(fields: tuple[tuple[str, type[Any]], ...]) -> type[Instruction]:
    values: Callable[[Any], object] = operator.attrgetter(*dict(fields)) if fields else lambda _: ()
    body = {
        "__module__": __name__,
        "__doc__": "The base of instructions with the same fields.",
        "__annotations__": dict(fields),
        # The hash that attrs generates includes only the class it was generated for, which many rows share here.
        "__hash__": lambda self: hash((self.keyword, values(self))),
    }
    name = "".join(["Instruction", *(f"With{field.title()}" for field, _ in fields)])
    return attrs.frozen(weakref_slot=False)(type(name, (Instruction,), body))


def _with_fields(row: type[T], fields: tuple[tuple[str, type[Any]], ...]) -> type[T]:
    """Return a copy of the class with slots, a constructor and the other methods of a frozen value."""
    if row.__bases__ != (Instruction,) or any(hasattr(row, name) for name, _ in fields):
        raise TypeError(
            f"{row.__name__} must be a direct subclass of Instruction, without values for its fields"
        )
    body = {name: value for name, value in vars(row).items() if name not in ("__dict__", "__weakref__")}
    made: type[T] = type(row.__name__, (_shape(fields),), {**body, "__slots__": ()})
    return made


@dataclass_transform(frozen_default=True)
def instruction(
    keyword: str,
    cut: Cut,
    *,
    result: str | None,
    owner: str | Nobody,
    synonyms: tuple[str, ...] = (),
    default: str | None = None,
    new: bool = False,
) -> Callable[[type[T]], type[T]]:
    """Make a row of the table out of a class with annotated fields.

    Args:
        keyword: The word that the instruction begins with.
        cut: How the text after it is split into arguments.
        result: Name of the expected result type, or None for that of the nested instruction.
        owner: Name of the field whose portal must be the sender's (protocol page *grammar*, section 12), or
            `NOBODY`. There is no default, so that the author of an instruction must decide.
        synonyms: Other words that are read as the keyword.
        default: Text to parse if the last argument is omitted.
        new: Whether agents before the newer generation do not know it.
    """

    def make(row: type[T]) -> type[T]:
        types = inspect.get_annotations(row, eval_str=True)
        names = list(types)
        made = _with_fields(row, tuple(types.items()))
        made.keyword, made.synonyms, made.cut = keyword, synonyms, cut
        made.result, made.owner, made.new = result, owner, new
        made.parameters = tuple(
            Argument(
                name,
                types[name],
                default if name == names[-1] else None,
                _reader(types[name]),
                slot_setter(made, name),
            )
            for name in names
        )
        as_text = Row(made, keyword, cut, made.parameters)
        made.reader, made.writer = as_text.reader(), as_text.writer()
        for word in (keyword, *synonyms):
            if word in _BY_KEYWORD:
                raise ValueError(f"Two instructions are called {word}")
            _BY_KEYWORD[word] = made
        return made

    return make
