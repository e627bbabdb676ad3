"""The one place where JSON from outside becomes values, and values become JSON.

What the standard library's parser takes and we do not:

- a repeated key in an object: here the last one wins, elsewhere the first, so two readers see two messages;
- `NaN`, `Infinity`, and numbers beyond a double; - integers beyond 64 bits, and numbers of more than
`MAX_NUMBER_CHARACTERS` characters (converting a million digits takes
  quadratic time);
- half a surrogate pair, which has no UTF-8 form and would fail later, in a log or on the next hop; -
nesting deeper than `MAX_DEPTH`, counted before parsing, so that no parser and no later walk over the value
runs
  out of stack.

`-0` is read as a float, since no unsigned field may take it.

Messages tell what is wrong and never quote the text, which may hold anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final, NoReturn

from ..errors import JsonError

MAX_DEPTH: Final = 128
"""Objects and lists within each other; the limit of the existing services' parser."""

MAX_NUMBER_CHARACTERS: Final = 64
"""Characters of one number; the longest that anyone writes is a double with 25."""

_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**64 - 1

_BLANKS: Final = " \t\n\r"
_STRINGS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_BRACKETS: Final = re.compile(r"[^\[\]{}]++")
_STEP: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


def parse(text: str | bytes) -> Any:
    """Read a JSON text.

    Returns:
        Dictionaries, lists, texts, integers, floats, booleans and None: whoever takes it checks what it
        needs. (Any, since callers match on the value.)

    Raises:
        JsonError: It is not JSON as described at the head of this module.
    """
    outcome = _parse(text)
    if type(outcome) is _Refused:
        # The text must not stay in the traceback of the error.
        del text
        raise JsonError(f"Not JSON that we take: {outcome.why}")
    return outcome


def write(value: object) -> str:
    """Write a value as compact JSON, other characters than ASCII as they are.

    Raises:
        JsonError: The value has no JSON form (NaN, an infinity, half a surrogate pair, another type).
    """
    text = _write(value)
    if text is None:
        del value
        raise JsonError("This value has no JSON form")
    return text


class _Refused(Exception):  # noqa: N818 - both the signal out of the parser's hooks and its outcome
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def _parse(text: str | bytes) -> Any:
    try:
        if isinstance(text, bytes):
            text = text.decode()
        elif not text.isascii():
            text.encode()
    except UnicodeError:
        return _Refused("no valid UTF-8")
    if text.count("[") + text.count("{") > MAX_DEPTH and _too_deep(text):
        return _Refused(f"nested deeper than {MAX_DEPTH}")
    text = text.strip(_BLANKS)
    try:
        value, end = _DECODER.raw_decode(text)
        if "\\u" in text:
            # An escaped half of a surrogate pair, in a key or in a value, cannot be written as UTF-8 again.
            _ENCODER.encode(value).encode()
    except _Refused as refused:
        return _Refused(refused.why)
    except json.JSONDecodeError as error:
        return _Refused(f"{error.msg} at character {error.pos}")
    except UnicodeError:
        return _Refused("half a surrogate pair")
    except RecursionError:
        return _Refused("nested too deep for the stack that is left")
    return value if end == len(text) else _Refused(f"more text after character {end}")


def _write(value: object) -> str | None:
    try:
        text = _ENCODER.encode(value)
        if not text.isascii():
            text.encode()
    except (ValueError, TypeError, RecursionError):
        return None
    return text


def _too_deep(text: str) -> bool:
    # As far as the parser would come, strings are told from the rest as the parser does it.
    brackets = _NOT_BRACKETS.sub("", _STRINGS.sub("", text))
    return any(depth > MAX_DEPTH for depth in accumulate(map(_STEP.__getitem__, brackets)))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise _Refused("a key twice in one object")
    return table


def _integer(digits: str) -> int | float:
    if len(digits) > MAX_NUMBER_CHARACTERS:
        raise _Refused(f"a number of {len(digits)} characters")
    number = int(digits)
    if not _MIN_INTEGER <= number <= _MAX_INTEGER:
        raise _Refused("an integer beyond 64 bits")
    return -0.0 if digits == "-0" else number


def _float(digits: str) -> float:
    if len(digits) > MAX_NUMBER_CHARACTERS:
        raise _Refused(f"a number of {len(digits)} characters")
    number = float(digits)
    if number in _INFINITIES:
        raise _Refused("a number beyond a double")
    return number


def _constant(name: str) -> NoReturn:
    raise _Refused(f"{name}, which JSON does not know")


_INFINITIES: Final = (float("inf"), float("-inf"))
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

write_text: Final[Callable[[object], str]] = _ENCODER.encode
"""`write` for a value that is known to be a text: quotes and escapes, no check for UTF-8."""
