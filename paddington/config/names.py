"""Rules for names of services and zones (protocol page *configuration*, section 3)."""

from __future__ import annotations

from ..errors import ConfigError
from ..text import quoted

NAME_BYTES = 64
"""Longest name, in UTF-8 bytes; identifiers of the grammar have the same limit."""

ZONE_BYTES = 2 * NAME_BYTES + 1
"""Longest zone: two portals name the zone between them `remote>local`."""


def check_name(text: str, what: str = "name") -> str:
    """The name without surrounding white space.

    Args:
        text: Letters and digits of any script, `_` and `-`.
        what: What the error calls it.

    Raises:
        ConfigError: The name is empty, too long, or has other characters.
    """
    return _check(text, what, extra="_-", longest=NAME_BYTES)


def check_zone(text: str, what: str = "zone") -> str:
    """The zone without surrounding white space, as a name, with `<` and `>` besides.

    Raises:
        ConfigError: The zone is empty, too long, or has other characters.
    """
    return _check(text, what, extra="_-<>", longest=ZONE_BYTES)


def _check(text: str, what: str, *, extra: str, longest: int) -> str:
    name = text.strip()
    if not name:
        raise ConfigError(f"The {what} is empty. Give it letters, digits, or one of {' '.join(extra)}")
    for character in name:
        if not character.isalnum() and character not in extra:
            raise ConfigError(
                f"The {what} {quoted(text)} has the character {character!r} in it. "
                f"Use only letters, digits, and {' '.join(extra)}"
            )
    if len(name.encode()) > longest:
        raise ConfigError(f"The {what} {quoted(text)} is longer than {longest} bytes. Choose a shorter one")
    return name
