"""White space as the protocol defines it, and characters that no text may contain.

Exactly the characters with the Unicode property `White_Space` (protocol page *grammar*, section 1). The
methods of `str` also count U+001C to U+001F, so they are used here only with an explicit list of characters.
"""

from __future__ import annotations

import re
from typing import Final

from ..errors import ParseError

WS: Final = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

_WORD = re.compile(f"[^{WS}]+")
_BLANK = re.compile(f"[{WS}]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def trim(text: str) -> str:
    """Remove white space at both ends."""
    return text.strip(WS)


def indent(text: str) -> int:
    """Count the white space before the first other character."""
    return len(text) - len(text.lstrip(WS))


def words(text: str) -> list[str]:
    """Split at runs of white space."""
    # U+0020 is the only printable white space, so `str.split` is correct, and faster, for printable text.
    return text.split() if text.isprintable() else _WORD.findall(text)


def word_starts(text: str) -> list[int]:
    """Return the index at which each of `words` begins."""
    return [match.start() for match in _WORD.finditer(text)]


def squeeze(text: str) -> str:
    """Remove all white space."""
    return "".join(_WORD.findall(text))


def unsqueezed(text: str, position: int) -> int:
    """Return the index in `text` of the character at `position` after all white space is removed."""
    for match in _WORD.finditer(text):
        length = match.end() - match.start()
        if position < length:
            return match.start() + position
        position -= length
    return len(text)


def find_blank(text: str) -> int | None:
    """Return the index of the first white space, or None."""
    match = _BLANK.search(text)
    return match.start() if match else None


def refuse_surrogates(text: str) -> None:
    """Refuse text that cannot be written as UTF-8.

    Raises:
        ParseError: `text` contains a surrogate.
    """
    if not text.isascii() and (match := _SURROGATE.search(text)):
        raise ParseError(
            "Half of a surrogate pair is not a character",
            text=text,
            position=match.start(),
            expected="Unicode text",
        )
