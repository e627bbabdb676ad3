"""Restart: what a request for a restart from a peer or from an operator leads to.

Source: the protocol pages *operations*, section 3, and *newer-protocol*, section 10.5; security case R2.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

import attrs

from paddington import Peer

from ..errors import RefusedError
from ..text import quoted
from .paths import Here, Onward, follow


class RestartType(enum.Enum):
    """How an agent is restarted; the values are the words on the wire."""

    SOFT = "soft"
    """Jobs and connections are dropped, the process lives."""

    HARD = "hard"
    """The process ends at once, for whatever supervises it to start it again."""

    @classmethod
    def parse(cls, text: str) -> RestartType:
        """Read the word.

        Raises:
            RefusedError: There is no such type.

        """
        for restart_type in cls:
            if text == restart_type.value:
                return restart_type
        raise RefusedError(f"There is no restart type {quoted(text)}: it is soft or hard")


MAX_TYPE_CHARACTERS: Final = 40
"""Characters of a restart type that are passed on."""


@attrs.frozen
class PassOn:
    """The request goes on to a peer, with this destination."""

    peer: Peer
    destination: str


def decide(
    destination: str,
    restart_type: str,
    me: str,
    *,
    is_leaf: bool,
    peers: Iterable[Peer],
    needs_destination: bool,
) -> RestartType | PassOn:
    """Decide about a request for a restart: a restart of this agent, or a request to the next one.

    The agent that restarts checks the type, not those on the way.

    Args:
        destination: The path, relative to this agent.
        restart_type: The word that came with it.
        me: Name of this agent.
        is_leaf: Whether it passes nothing on.
        peers: The peers that it knows.
        needs_destination: Whether an empty path is refused, as it is from peers unless a setting allows it.

    Raises:
        RefusedError: The path leads nowhere, or is empty and must not be, or the type is unknown.

    """
    if needs_destination and not destination:
        raise RefusedError("A restart needs a destination: the name of the agent to be restarted")
    if len(restart_type) > MAX_TYPE_CHARACTERS:
        raise RefusedError(f"There is no restart type {quoted(restart_type)}")
    match follow(destination, me, is_leaf=is_leaf, peers=peers):
        case Here():
            return RestartType.parse(restart_type)
        case Onward(peer, rest, last):
            # An empty destination is refused by newer agents; a name of its own is understood by all.
            return PassOn(peer, rest or last)
