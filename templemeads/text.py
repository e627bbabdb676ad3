"""Foreign text inside messages: bounded, and unable to act on a terminal or a log."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

MAX_QUOTE_CHARACTERS = 72
"""Characters of foreign text that one message shows: leaves room for the rest of a line of 110."""

_LEAD = 24


def _visible(character: str) -> str:
    if character in {'"', "\\"}:
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted(text: str, *, around: int = 0, limit: int = MAX_QUOTE_CHARACTERS) -> str:
    """Put `text` in double quotes, short and harmless.

    Control and format characters, separators other than the space, surrogates and unassigned characters are
    escaped; what is cut away is shown as `…` outside of the quotes.

    Args:
        text: Any text, of any length; only the part that is shown is looked at.
        around: Index of a character that must be within the part that is shown.
        limit: Number of characters shown at most.
    """
    start = 0 if around < limit else min(around - _LEAD, max(len(text) - limit, 0))
    shown = "".join(map(_visible, text[start : start + limit]))
    return f'{"…" if start else ""}"{shown}"{"…" if start + limit < len(text) else ""}'


def visible(text: str) -> str:
    """Escape what could act on a terminal or a log, as `quoted` does, without quotes and at full length."""
    return "".join(character if character in '"\\' else _visible(character) for character in text)


def well_formed(text: str) -> str:
    r"""Return the text with each half of a surrogate pair written as `\udce9`, so that it has a UTF-8 form.

    Python reads bytes of file names and of other programs' output that are not UTF-8 as such halves.
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def pointed(text: str, position: int, *, limit: int = MAX_QUOTE_CHARACTERS) -> tuple[str, str]:
    """Show a place in a text: a line of it, and a line with a caret under the place.

    Args:
        text: Any text, of any length.
        position: Index of a character, or `len(text)` for the end.
        limit: Number of characters of the text shown at most.
    """
    start = 0 if position < limit else position - limit + _LEAD
    stop = start + limit
    before = ("…" if start else "") + visible(text[start:position])
    after = visible(text[position:stop]) + ("…" if stop < len(text) else "")
    return before + after, " " * sum(map(_columns, before)) + "^"


def _columns(character: str) -> int:
    """Count the columns that a character takes on a terminal."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def printable(text: str, longest: int = 500) -> str:
    """Return foreign text without anything that breaks a line or moves a cursor, cut to `longest` characters."""
    if len(text) <= longest and text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:longest])
    return shown if len(text) <= longest else f"{shown}…"


def timestamp(seconds: float) -> str:
    """Return a time in the form in which agents write it: RFC 3339, UTC, `Z`.

    Args:
        seconds: Since 1970 UTC.
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
