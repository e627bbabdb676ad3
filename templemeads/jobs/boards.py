"""What all steps of an agent share: its boards, and what it knows of the peers around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

import attrs

from paddington import Peer

from ..errors import RefusedError
from ..limits import Limits
from .board import Board, ClockSteps
from .job import Job
from .virtual import VirtualAgents


def always(_: object) -> bool:
    """Answer yes to any question."""
    return True


@attrs.define(eq=False)
class Boards:
    """The boards of one agent, one per peer.

    Attributes:
        name: The agent's own name in paths.
        is_neighbour: Returns whether a peer is configured, that is, whether jobs can be sent to it at all.
        is_connected: Returns whether a peer is connected now.
        limits: How much the agent accepts.
        payload_fits: Returns whether a peer can receive a command with this text, as far as is known now; None if
            nothing need be measured.
        surely_fits: A job whose own texts have no more characters than this need not be measured.
        check_owner: Raises `RefusedError` if a job that has arrived here asks for something that does not belong to
            the portal that asks (*newer-protocol*, section 10.3).
        virtual: The virtual agents, if this agent may have any.

    """

    name: str
    is_neighbour: Callable[[Peer], bool] = always
    is_connected: Callable[[Peer], bool] = always
    limits: Limits = attrs.field(factory=Limits)
    payload_fits: Callable[[Peer, str], bool] | None = None
    surely_fits: int = 0
    check_owner: Callable[[Peer, Job], object] | None = None
    virtual: VirtualAgents | None = None
    clock: ClockSteps = attrs.field(factory=ClockSteps, init=False)
    _by_peer: dict[Peer, Board] = attrs.field(factory=dict, init=False)
    running: set[tuple[Peer, int]] = attrs.field(factory=set, init=False)
    """Jobs for which a handler has been started, by peer and id."""

    @property
    def boards(self) -> Mapping[Peer, Board]:
        """The boards by peer; read only."""
        return self._by_peer

    def board(self, peer: Peer) -> Board:
        """Return the board of a peer; make it if it does not exist.

        Raises:
            RefusedError: There are too many boards already.

        """
        board = self._by_peer.get(peer)
        if board is None:
            if len(self._by_peer) >= self.limits.boards:
                raise RefusedError(f"There are {len(self._by_peer)} boards already, which is the limit")
            board = self._by_peer[peer] = Board(self.limits, self.clock)
        return board

    def find(self, peer: Peer, job_id: UUID) -> Job | None:
        """Return a job from the board of a peer, or None."""
        board = self._by_peer.get(peer)
        return None if board is None else board.get(job_id)

    def numbered(self, peer: Peer, number: int) -> Job | None:
        """Return the job whose id is this number from the board of a peer, or None."""
        board = self._by_peer.get(peer)
        return None if board is None else board.numbered(number)

    @property
    def next_due(self) -> float | None:
        """When to sweep next, in seconds since 1970 UTC, or None if nothing is waiting."""
        return min(
            (due for board in self._by_peer.values() if (due := board.next_due) is not None), default=None
        )
