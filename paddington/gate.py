"""How many strangers may be inside at once (security cases R21, F11).

A connection is a stranger's until its handshake is over. Pure: counts and nothing else.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network

import attrs

from .config.address import IPAddress
from .errors import HandshakeError
from .limits import Limits

IPV6_PREFIX = 64
"""Who has one IPv6 address has the whole network of this length (security case 33.17)."""


@attrs.define(eq=False)
class Gate:
    """Places for connections that are not yet authenticated, in all and per address."""

    limits: Limits
    _inside: Counter[object] = attrs.field(factory=Counter, init=False)
    _total: int = attrs.field(default=0, init=False)

    @property
    def inside(self) -> int:
        """Connections that hold a place."""
        return self._total

    def enter(self, address: IPAddress, *, shared: bool = False) -> "Ticket":
        """Take a place.

        Args:
            address: Where the caller calls from.
            shared: Many callers share this address, as behind a trusted proxy: only the total counts.

        Raises:
            HandshakeError: No place is free.
        """
        if self._total >= self.limits.unauthenticated_connections:
            raise HandshakeError("crowded", f"There are {self._total} unfinished handshakes already")
        block = None if shared else _block(address)
        if block is not None and self._inside[block] >= self.limits.unauthenticated_per_address:
            raise HandshakeError(
                "crowded-address",
                f"There are {self._inside[block]} unfinished handshakes from {block} already",
            )
        self._total += 1
        if block is not None:
            self._inside[block] += 1
        return Ticket(self, block)

    def _leave(self, block: object) -> None:
        self._total -= 1
        if block is not None:
            self._inside[block] -= 1
            if not self._inside[block]:
                del self._inside[block]


@attrs.define(eq=False)
class Ticket:
    """A place at the gate, given back once."""

    _gate: Gate | None
    _block: object

    def give_back(self) -> None:
        """Give the place back; a second time does nothing."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate._leave(self._block)  # noqa: SLF001 - the two are one thing


@contextlib.contextmanager
def holding(ticket: Ticket) -> Iterator[Ticket]:
    """Give the place back at the end of the block, if that has not happened before."""
    try:
        yield ticket
    finally:
        ticket.give_back()


def _block(address: IPAddress) -> object:
    if isinstance(address, IPv6Address):
        return IPv6Network((address, IPV6_PREFIX), strict=False)
    return address
