"""Which connection is primary, and which wait to take over (protocol page *wire*, section 4).

One connection for each `name@zone` is primary. A client that connects meanwhile is told that it is
secondary; it waits and asks every second, and the first to ask after the primary's end becomes primary.
Nothing is awaited between looking and taking, so two clients that connect at the same instant cannot both
become primary.

A client whose last connection is half dead would wait for the watchdog to notice. If the newcomer shows the
same epoch as the primary, the two are one process, which calls again only after it has given up the old
connection, so the old one is ended at once.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import attrs
import trio

from .connection import Connection
from .errors import HandshakeError, PeerNotConnectedError
from .limits import Limits
from .peer import Peer


@attrs.define(eq=False)
class Place:
    """The primary's place for one peer.

    Attributes:
        peer: The peer.
        epoch: The random number of the process that has it, None if the peer sends none.
        connection: The connection, set once the peer knows that it is primary.
        released: Set when the place is free again.
    """

    peer: Peer
    epoch: int | None
    connection: Connection | None = None
    released: trio.Event = attrs.field(factory=trio.Event, init=False)


@attrs.define(eq=False)
class Roster:
    """The primary connections of a service, and how many wait for each."""

    limits: Limits
    _places: dict[Peer, Place] = attrs.field(factory=dict, init=False)
    _waiting: Counter[Peer] = attrs.field(factory=Counter, init=False)

    @property
    def connections(self) -> dict[Peer, Connection]:
        """The primary connections."""
        return {
            peer: place.connection for peer, place in self._places.items() if place.connection is not None
        }

    @property
    def places(self) -> tuple[Place, ...]:
        """The places that are taken."""
        return tuple(self._places.values())

    @property
    def waiting(self) -> dict[Peer, int]:
        """The number of waiting connections, by peer."""
        return dict(self._waiting)

    def connection(self, peer: Peer) -> Connection:
        """Return the primary connection with a peer.

        Raises:
            PeerNotConnectedError: There is none.
        """
        place = self._places.get(peer)
        if place is None or place.connection is None:
            raise PeerNotConnectedError(f"{peer} is not connected")
        return place.connection

    def take(self, peer: Peer, epoch: int | None) -> Place | None:
        """Take the primary's place for a peer if it is free; the caller must `release` it."""
        if peer in self._places:
            return None
        place = self._places[peer] = Place(peer, epoch)
        return place

    def release(self, place: Place) -> None:
        """Return the place back."""
        if self._places.get(place.peer) is place:
            del self._places[place.peer]
        place.released.set()

    async def oust_predecessor(self, peer: Peer, epoch: int | None) -> None:
        """End the primary connection if the newcomer is the same process, and wait briefly until it is gone."""
        place = self._places.get(peer)
        if place is None or place.connection is None or epoch is None or place.epoch != epoch:
            return
        place.connection.abort("the same process of the peer has called again")
        with trio.move_on_after(self.limits.standby_poll_seconds):
            await place.released.wait()

    @contextlib.contextmanager
    def waiter(self, peer: Peer) -> Iterator[None]:
        """Count as waiting for a peer, for the time of the block.

        Raises:
            HandshakeError: The most allowed already wait.
        """
        if self._waiting[peer] >= self.limits.standby_waiters:
            raise HandshakeError("crowded-standby", f"{peer}: {self._waiting[peer]} connections wait already")
        self._waiting[peer] += 1
        try:
            yield
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]
