"""Paths of operations: the way to an agent further away, and who may ask it.

A path of diagnostics or restart is relative to the agent that reads it: empty, or that agent's own name, stands for itself;
otherwise the first element is the next hop. Source: the protocol page *operations*, section 2.1.

Who may ask: only agents on the portal's side of us (security cases R2 and R19). A portal may ask its provider, and a cluster
its scheduler, never the other way round; portals do not answer each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from paddington import Peer

from ..agent_type import AgentType
from ..errors import RefusedError
from ..text import quoted

MAX_PATH_CHARACTERS: Final = 1_000
"""Characters of a path; more than any network is deep."""

_RANK: Final[Mapping[AgentType, int]] = {
    AgentType.BRIDGE: 0,
    AgentType.PORTAL: 1,
    AgentType.PROVIDER: 2,
    AgentType.PLATFORM: 3,
    AgentType.INSTANCE: 4,
    AgentType.ACCOUNT: 5,
    AgentType.FILESYSTEM: 5,
    AgentType.SCHEDULER: 5,
    AgentType.VIRTUAL: 6,
}


def may_ask(asker: AgentType, asked: AgentType) -> bool:
    """Whether an agent of one type gets answers about health and diagnostics, and may restart, one of another type."""
    if asker is AgentType.PORTAL and asked is AgentType.PORTAL:
        return False
    return _RANK[asker] <= _RANK[asked]


@attrs.frozen
class Here:
    """The path ends at the agent that reads it."""


@attrs.frozen
class Onward:
    """The path leads on.

    Attributes:
        peer: The next hop.
        rest: The path as seen from there; empty if it ends there.
        last: Name of the agent at its end.

    """

    peer: Peer
    rest: str
    last: str


def follow(path: str, me: str, *, is_leaf: bool, peers: Iterable[Peer]) -> Here | Onward:
    """Read a path.

    Args:
        path: Names joined by dots, each perhaps with ``@zone``.
        me: Name of the agent that reads it.
        is_leaf: Whether that passes nothing on.
        peers: The peers that it knows.

    Raises:
        RefusedError: The path leads nowhere.

    """
    if len(path) > MAX_PATH_CHARACTERS:
        raise RefusedError(f"A path of {len(path)} characters is longer than any network is deep")
    if not path:
        return Here()
    elements = path.split(".")
    names = [_name_and_zone(element, path) for element in elements]
    if len(names) == 1 and names[0][0] == me:
        return Here()
    if is_leaf:
        raise RefusedError(f"{me!r} passes nothing on: the path {quoted(path)} cannot lead through it")
    name, zone = names[0]
    found = [peer for peer in peers if peer.name == name and zone in (None, peer.zone)]
    if not found:
        raise RefusedError(f"{me!r} knows no peer {quoted(elements[0])}, where the path {quoted(path)} leads")
    if len(found) > 1:
        zones = ", ".join(sorted(str(peer) for peer in found))
        raise RefusedError(f"{me!r} knows {quoted(name)} in several zones: use one of {zones}")
    return Onward(found[0], ".".join(elements[1:]), names[-1][0])


def _name_and_zone(element: str, path: str) -> tuple[str, str | None]:
    name, at, zone = element.partition("@")
    if not name or (at and not zone) or "@" in zone:
        raise RefusedError(f"{quoted(element)} in the path {quoted(path)} is not a name or name@zone")
    return name, zone if at else None
