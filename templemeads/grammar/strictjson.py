"""JSON text as the protocol reads and writes it: strict about JSON, lenient about fields.

Rule 1: `read` takes exactly RFC 8259. What Python's reader takes beyond it (``NaN``, raw surrogates) is
refused, and so are nesting and length beyond a limit, before they can cost anything.

Rule 2: nothing is lost that a later reader must judge. An object that names a key twice arrives as
`RepeatedKeys`, which knows every pair: only the reader of that object can say whether the key is a field
(an error), an entry of a map (the last one wins) or unknown (ignored). ``-0`` and integers of absurd length
arrive as floats, which no integer field takes.

Rule 3: `write` makes the one compact spelling that the protocol knows.

Source: the protocol page *json-types*, section 1. Only the standard library is used: strictness must not
depend on what happens to be installed.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn, TypeAlias

from templemeads.errors import ParseError
from templemeads.quoting import quoted

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"
"""A JSON value as Python holds it."""

DEFAULT_MAX_DEPTH = 128
"""Levels of nesting: what existing agents allow in fields that they use; no message of the protocol comes
near it."""

DEFAULT_MAX_LENGTH = 64 * 1024 * 1024
"""Characters: the largest message that existing services accept."""

_LONGEST_INTEGER = 20  # characters; 2**64 - 1 has 20 digits, and no field of the protocol is larger

_SURROGATE = re.compile("[\ud800-\udfff]")
_STRING = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL
)  # possessive: linear also for a string that never ends
_STEPS = {ord("["): "+", ord("{"): "+", ord("]"): "-", ord("}"): "-"}
_NOT_A_BRACKET = re.compile(r"[^\[\]{}]+")


class RepeatedKeys(dict[str, JSON]):
    """An object whose text named at least one key more than once.

    As a dict it holds the last value of each key. `pairs` has all of them, in the order of the text.
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, JSON]]) -> None:
        self.pairs = tuple(pairs)
        super().__init__(self.pairs)


def pairs_of(value: Mapping[str, JSON]) -> Iterable[tuple[str, JSON]]:
    """Every pair of an object in the order of its text, repeated keys included."""
    return value.pairs if isinstance(value, RepeatedKeys) else value.items()


def has_surrogate(text: str) -> bool:
    """Whether a string holds half of a surrogate pair, which no UTF-8 text can."""
    return _SURROGATE.search(text) is not None


def read(text: str, *, max_depth: int = DEFAULT_MAX_DEPTH, max_length: int = DEFAULT_MAX_LENGTH) -> JSON:
    """Read one JSON value.

    Args:
        text: The whole text; only the four blanks of JSON may stand around the value.
        max_depth: Levels of arrays and objects, in all.
        max_length: Characters.

    Raises:
        ParseError: The text is not JSON, is too long or too deep. It knows the place.

    Source: protocol page *json-types*, section 1.

    """
    if len(text) > max_length:
        raise ParseError(
            f"This JSON text has {len(text)} characters; the limit is {max_length}",
            text=text,
            position=max_length,
            expected="a shorter text",
        )
    if not text.isascii() and (surrogate := _SURROGATE.search(text)):
        raise ParseError(
            f"Half of a surrogate pair at character {surrogate.start()} of a JSON text is not a character",
            text=text,
            position=surrogate.start(),
            expected="Unicode text",
        )
    _check_depth(text, max_depth)
    try:
        value: JSON = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        found = quoted(text[error.pos : error.pos + 1]) if error.pos < len(text) else "the end of the text"
        raise ParseError(
            f"Not JSON: {error.msg} at character {error.pos}, where {found} was found,"
            f" in {quoted(text, around=error.pos)}",
            text=text,
            position=error.pos,
            expected="JSON",
        ) from None
    except _ForeignConstantError as error:
        raise ParseError(
            f"not JSON: {error} is no JSON value, in {quoted(text)}", text=text, expected="JSON"
        ) from None
    return value


def write(value: JSON) -> str:
    """Write one JSON value the compact way: no blanks, non-ASCII characters raw, keys in the order given.

    Raises:
        ParseError: The value holds what JSON cannot say: half of a surrogate pair, infinity, a foreign type.

    Source: protocol page *json-types*, section 1.

    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_thawed)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParseError(f"This value has no JSON form: {error}") from error
    if not text.isascii() and (surrogate := _SURROGATE.search(text)):
        raise ParseError(
            f"This value has no JSON form: it holds half of a surrogate pair, in {quoted(text)}",
            text=text,
            position=surrogate.start(),
        )
    return text


def _thawed(value: object) -> dict[str, JSON]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _check_depth(text: str, limit: int) -> None:
    if text.count("[") + text.count("{") <= limit:
        return
    brackets = _NOT_A_BRACKET.sub("", _STRING.sub("", text)).translate(_STEPS)
    deepest = max(itertools.accumulate(1 if step == "+" else -1 for step in brackets), default=0)
    if deepest > limit:
        raise ParseError(
            f"this JSON text nests {deepest} levels deep; the limit is {limit}: {quoted(text)}",
            text=text,
            expected="a flatter text",
        )


class _ForeignConstantError(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _ForeignConstantError(name)


def _integer(digits: str) -> int | float:
    # Existing readers take -0 for a float, too; and int() is quadratic in the number of digits.
    if digits == "-0" or len(digits) > _LONGEST_INTEGER:
        return float(digits)
    return int(digits)


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else RepeatedKeys(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_refuse_constant)
