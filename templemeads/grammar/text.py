"""The base of all values that are written as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ..errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Callable


class TextValue:
    """A value with one canonical text, which is also its JSON form."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value from text.

        Raises:
            ParseError: The text is not a value of this type.
        """
        raise NotImplementedError

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a value from what a JSON reader returned.

        Raises:
            ParseError: It is not a string, or the string is not a value of this type.
        """
        return cls.parse(json_text(value, cls.__name__))

    def to_json(self) -> str:
        """Return the JSON form: the canonical text."""
        return str(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


def slot_setter(kind: type, name: str) -> Callable[[object, object], None]:
    """Return the function that fills one slot of a frozen class.

    For parsers that have already done the checks of the constructor, which would double the cost.
    """
    setter: Callable[[object, object], None] = getattr(kind, name).__set__
    return setter


def json_text(value: object, kind: str) -> str:
    """Return a JSON string unchanged; refuse any other JSON value.

    Args:
        value: What a JSON reader returned.
        kind: Name of the type that is being read, for the message.

    Raises:
        ParseError: It is not a string.
    """
    if type(value) is str:
        return value
    raise ParseError(f"{kind} is written as a JSON string, not {json_name(value)}", expected="a JSON string")


def json_name(value: object) -> str:
    """Return the name of a JSON value's type."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "an array"
        case dict():
            return "an object"
        case _:
            return f"a Python {type(value).__name__}"


def require_text(value: object, what: str) -> str:
    """Return `value` if it is a str.

    Raises:
        TypeError: It is not, which is an error in the calling code.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    return value
