"""Texts that are nearly right: what tired people, other versions and bad intentions write."""

from __future__ import annotations

from typing import Any, Protocol

from hypothesis import reject
from hypothesis import strategies as st

from ..errors import ParseError
from ..grammar import Command, Instruction, Notification
from ._instructions import BY_TYPE, commands, instructions, notifications

_MAX_EDITS = 4

STRANGERS = (
    *" .:,-_@/\\'\"{}[]*+#%~$\t\n\r\0\x0b\x1b\x1c\x1f\x7f",  # separators, blanks and control characters
    *"\x85\xa0\u1680\u2003\u2028\u202f\u3000",  # other blanks
    *"\u200b\u200d\u2060\ufeff\u202e\u00ad",  # not seen at all
    *"\u0430\u0435\u043e\u212a\u017f\uff41\u0301\u0660\uff10\u00b2",  # look-alikes of letters and digits
    *"\U0001f600\U000e0061",
    *("..", "--", "::", "  ", "a" * 65, "null", "NaN", "0x", "1e5", "\r\n"),
)
"""What edits put into a text."""


class Parsed(Protocol):
    """A type with a text form."""

    @classmethod
    def parse(cls, text: str) -> Any:
        """Read a value from text; raises ParseError."""


def edited(texts: st.SearchStrategy[str], *, edits: int = 1) -> st.SearchStrategy[str]:
    """Texts after a few small changes: put in, left out, doubled, swapped, cut off, in another case.

    Args:
        texts: The texts to change.
        edits: How many changes.
    """
    for _ in range(edits):
        texts = texts.flatmap(_edit)
    return texts


def _edit(text: str) -> st.SearchStrategy[str]:
    at = st.integers(0, len(text))
    put_in = st.builds(lambda i, stranger: text[:i] + stranger + text[i:], at, st.sampled_from(STRANGERS))
    if not text:
        return put_in
    inside = st.integers(0, len(text) - 1)
    return st.one_of(
        put_in,
        st.builds(
            lambda i, stranger: text[:i] + stranger + text[i + 1 :], inside, st.sampled_from(STRANGERS)
        ),
        st.builds(lambda i: text[:i] + text[i + 1 :], inside),
        st.builds(lambda i: text[:i] + text[i] + text[i:], inside),
        st.builds(lambda i: text[:i] + text[i : i + 2][::-1] + text[i + 2 :], inside),
        st.builds(lambda i: text[:i], inside),
        st.builds(lambda i: text[:i] + text[i:].swapcase(), inside),
    )


def near_misses(
    kind: type[Parsed], *, values: st.SearchStrategy[Any] | None = None
) -> st.SearchStrategy[str]:
    """Texts that `kind.parse` refuses although little is wrong with them.

    Args:
        kind: A type of the grammar, such as `UserIdentifier`, `AddUser` or `Command`.
        values: Where the right texts come from, if not from the ordinary strategy of the type.
    """
    return _near_misses(kind, strategy_of(kind) if values is None else values)


@st.composite
def _near_misses(draw: st.DrawFn, kind: type[Parsed], values: st.SearchStrategy[Any]) -> str:
    text = str(draw(values))
    for _ in range(_MAX_EDITS):
        text = draw(_edit(text))
        if not _parses(kind, text):
            return text
    # Some types take nearly everything, but none takes this for long.
    text = f"{text}x x{text}"
    return reject() if _parses(kind, text) else text


def _parses(kind: type[Parsed], text: str) -> bool:
    try:
        kind.parse(text)
    except ParseError:
        return False
    return True


def strategy_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return the strategy of a type of the grammar.

    Raises:
        TypeError: There is none.
    """
    if kind in BY_TYPE:
        return BY_TYPE[kind]()
    if kind is Command:
        return commands()
    if kind is Notification:
        return notifications()
    if issubclass(kind, Instruction):
        return instructions(only=None if kind is Instruction else [kind])
    raise TypeError(f"There is no strategy for {kind.__name__}")
