"""How text that came from outside appears in our messages: short, quoted, on one line."""

from __future__ import annotations

QUOTED_LENGTH = 60
"""Most characters of foreign text that an error or a log line repeats."""


def quoted(text: str, longest: int = QUOTED_LENGTH) -> str:
    """Foreign text as a quoted, bounded, printable piece of a sentence.

    Control characters, direction marks and everything else that is not printable are escaped, so that a peer
    cannot write escape sequences or extra lines into a log.

    Args:
        text: Anything, of any length.
        longest: Most characters to show; of a longer text the length is shown too.
    """
    shown = "".join(c if c.isprintable() and c not in '"\\' else _escaped(c) for c in text[:longest])
    return f'"{shown}"' if len(text) <= longest else f'"{shown}…" ({len(text)} characters)'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character.encode("unicode_escape").decode("ascii")
