"""The events of connections that a service reports to its user, each one a frozen value.

They match by position, the peer first::

    match event:
        case Connected(peer): ...
        case Received(peer, text): ...
        case Disconnected(peer, reason): ...
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from .peer import Peer

KEEPALIVE = "KEEPALIVE"
"""The payload that keeps an idle connection alive (protocol page *wire*, section 5); never passed to the user."""


def _only_length(text: str) -> str:
    return f"<{len(text)} characters>"


@attrs.frozen
class Connected:
    """A primary connection with this peer begins. Local: nothing on the wire corresponds to it.

    Attributes:
        peer: who it is with.
        engine: what the peer calls its software, for instance `paddington`.
        version: the version of that software, as the peer reports it; any short printable text.
        since: seconds on the clock of the run.
    """

    peer: Peer
    engine: str
    version: str
    since: float


@attrs.frozen
class Received:
    """A payload from this peer; `repr` shows only its length.

    Attributes:
        peer: who sent it.
        text: the payload.
    """

    peer: Peer
    text: str = attrs.field(repr=_only_length)


@attrs.frozen
class Disconnected:
    """The connection with this peer has ended. Local.

    Attributes:
        peer: who it was with.
        reason: a sentence for the log.
    """

    peer: Peer
    reason: str


Event: TypeAlias = Connected | Received | Disconnected
