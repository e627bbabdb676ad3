"""JSON text as the protocol reads and writes it: strict about JSON, lenient about fields.

Rule 1: `parse_json` accepts exactly RFC 8259. Python's extensions (`NaN`, raw surrogates) are refused, and so are
nesting and length above a limit, before parsing begins.

Rule 2: nothing is lost that a later reader must check. An object with a duplicate key becomes `RepeatedKeys`, which
holds every pair: only the reader of that object knows whether the key is a field (an error), an entry of a map (the
last one wins) or unknown (ignored). `-0` and absurdly long integers become floats, which no integer field accepts.

Rule 3: `dump_json` writes the one compact form that the protocol uses.

Source: the protocol page *json-types*, section 1. Only the standard library is used: strictness must not
depend on what happens to be installed.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from ..errors import ParseError
from ..text import quoted
from .frozenmap import thaw
from .whitespace import refuse_surrogates

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"
"""A JSON value as Python holds it."""

DEFAULT_MAX_DEPTH = 128
"""Levels of nesting: the limit of existing agents in fields that they use; no message of the protocol comes
near it."""

DEFAULT_MAX_LENGTH = 64 * 1024 * 1024
"""Characters: the largest message that existing services accept."""

_MAX_INTEGER_CHARACTERS = 20  # characters; 2**64 - 1 has 20 digits, and no field of the protocol is larger

# Possessive, and the end is optional: linear also for a string that never ends.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = {ord("["): "+", ord("{"): "+", ord("]"): "-", ord("}"): "-"}
_NOT_A_BRACKET = re.compile(r"[^\[\]{}]+")


class RepeatedKeys(dict[str, JSON]):
    """An object with at least one duplicate key in its text.

    As a dict it holds the last value of each key. `pairs` holds all of them, in the order of the text.
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, JSON]]) -> None:
        self.pairs = tuple(pairs)
        super().__init__(self.pairs)


def pairs_of(value: Mapping[str, JSON]) -> Iterable[tuple[str, JSON]]:
    """Return every pair of an object in the order of its text, including duplicate keys."""
    return value.pairs if isinstance(value, RepeatedKeys) else value.items()


def refuse_repeated(value: Mapping[str, JSON], fields: Container[str]) -> None:
    """Refuse an object that has a duplicate field, or a key that is invalid Unicode.

    Args:
        value: What `parse_json` returned.
        fields: Names that the reader of the object knows; other keys may be duplicates.

    Raises:
        ParseError: The object has such a field or key.
    """
    refuse_surrogates("".join(value))
    if isinstance(value, RepeatedKeys):
        seen: set[str] = set()
        for name, _ in value.pairs:
            if name in seen and name in fields:
                raise ParseError(f"The field {quoted(name)} is given twice", expected="each field once")
            seen.add(name)


def parse_json(
    text: str, *, max_depth: int = DEFAULT_MAX_DEPTH, max_length: int = DEFAULT_MAX_LENGTH
) -> JSON:
    """Read one JSON value.

    Args:
        text: The whole text; only the four white space characters of JSON are allowed around the value.
        max_depth: Maximum nesting of arrays and objects.
        max_length: Maximum number of characters.

    Raises:
        ParseError: The text is not JSON, is too long or too deep. The error has the position.

    Source: protocol page *json-types*, section 1.
    """
    if len(text) > max_length:
        raise ParseError(
            f"A JSON text has at most {max_length} characters; this has {len(text)}",
            expected="a shorter text",
        )
    refuse_surrogates(text)
    _check_depth(text, max_depth)
    try:
        value: JSON = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ParseError(f"Not JSON: {error.msg}", text=text, position=error.pos, expected="JSON") from None
    except _ForeignConstantError as error:
        position = text.find(str(error))
        raise ParseError(f"{error} is not JSON", text=text, position=position, expected="JSON") from None
    return value


def dump_json(value: JSON) -> str:
    """Write one JSON value in compact form: no blanks, non-ASCII characters raw, keys in the order given.

    Raises:
        ParseError: The value contains something outside JSON: half of a surrogate pair, infinity, another type.

    Source: protocol page *json-types*, section 1.
    """
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParseError(f"This value has no JSON form: {error}") from error
    refuse_surrogates(text)
    return text


def _check_depth(text: str, limit: int) -> None:
    if text.count("[") + text.count("{") <= limit:
        return
    brackets = _NOT_A_BRACKET.sub("", _STRING.sub("", text)).translate(_STEPS)
    deepest = max(itertools.accumulate(1 if step == "+" else -1 for step in brackets), default=0)
    if deepest > limit:
        raise ParseError(
            f"A JSON text nests at most {limit} levels deep; this has {deepest}", expected="a flatter text"
        )


class _ForeignConstantError(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _ForeignConstantError(name)


def _integer(digits: str) -> int | float:
    # Existing readers treat -0 as a float too; and int() is quadratic in the number of digits.
    if digits == "-0" or len(digits) > _MAX_INTEGER_CHARACTERS:
        return float(digits)
    return int(digits)


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else RepeatedKeys(pairs)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=thaw)
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_refuse_constant)
