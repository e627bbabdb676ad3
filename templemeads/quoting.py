"""Foreign text inside messages: bounded, and unable to act on a terminal or a log."""

from __future__ import annotations

LONGEST_QUOTE = 72
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


def quoted(text: str, *, around: int = 0, limit: int = LONGEST_QUOTE) -> str:
    """Put ``text`` in double quotes, short and harmless.

    Control and format characters, separators other than the space, surrogates and unassigned characters are
    escaped; what is cut away is shown as ``…`` outside of the quotes.

    Args:
        text: Any text, of any length; only the part that is shown is looked at.
        around: Index of a character that must be within the part that is shown.
        limit: Number of characters shown at most.

    """
    start = 0 if around < limit else min(around - _LEAD, max(len(text) - limit, 0))
    shown = "".join(map(_visible, text[start : start + limit]))
    return f'{"…" if start else ""}"{shown}"{"…" if start + limit < len(text) else ""}'
