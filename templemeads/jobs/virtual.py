"""Names that an agent answers to beside its own: what portals and bridges offer under the names of resources.

A job whose path ends with such a name right behind this agent is run here; the job stays on the board of the peer that sent
it. A job for a name that is not offered waits there until it is, or until it expires. A real peer of the same name comes
first. Source: the protocol page *roles*, section 3.1.
"""

from __future__ import annotations

import attrs

from paddington import Peer

Waiting = tuple[Peer, int]
"""A job that waits: the peer whose board it is on, and the number of its id."""


@attrs.define(eq=False)
class VirtualAgents:
    """The virtual agents of one agent.

    Attributes:
        offered: Those that there are now, by name and zone.
        waiting: The jobs for others, in the order in which they came.

    """

    offered: frozenset[Peer] = frozenset()
    waiting: dict[Waiting, None] = attrs.field(factory=dict, init=False)
