"""How many strangers may be inside at once (security cases R21, F11).

A connection is a stranger's until it has proved a key. When the places are taken, a newcomer is not refused: that would
let anyone who holds 64 connections keep out a peer that calls from the same address. Instead an older stranger is
dropped, at random among the older half of those that the newcomer competes with. An honest handshake takes a round trip
or two, so it is among the newer half, and over before it can be chosen.

Pure: counts, choices and callbacks.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Hashable, Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Final

import attrs

from .config.address import IPAddress
from .limits import Limits

IPV6_PREFIX: Final = 64
"""Whoever has one IPv6 address has the whole network of this length (security case 33.17)."""

_SHARED: Final = "behind a trusted proxy"


def _nothing() -> int:
    return 0


@attrs.define(eq=False)
class Gate:
    """Places for connections that are not yet authenticated, in all and per address.

    Attributes:
        limits: `unauthenticated_connections`, `unauthenticated_per_address` and `reserved_descriptors`.
        descriptors: How many files and sockets the process may have open; None without a limit.
        others: Returns how many of them authenticated connections hold.
        random: Returns a number from 0 to 1, evenly.
    """

    limits: Limits
    descriptors: int | None = attrs.field(default=None, kw_only=True)
    others: Callable[[], int] = attrs.field(default=_nothing, kw_only=True)
    random: Callable[[], float] = attrs.field(default=random.random, kw_only=True)
    # Dicts, not sets: they keep the order of arrival.
    _inside: dict[Hashable, dict[Ticket, None]] = attrs.field(factory=dict, init=False)
    _total: int = attrs.field(default=0, init=False)

    @property
    def inside(self) -> int:
        """Connections that hold a place."""
        return self._total

    @property
    def capacity(self) -> int:
        """Places in all: as many as the settings allow and the descriptors of the process leave, at least one."""
        most = self.limits.unauthenticated_connections
        if self.descriptors is None:
            return most
        # A process with few descriptors reserves half of them.
        reserved = min(self.limits.reserved_descriptors, self.descriptors // 2)
        return max(1, min(most, self.descriptors - reserved - self.others()))

    def enter(
        self, address: IPAddress, evict: Callable[[], object] = _nothing, *, shared: bool = False
    ) -> Ticket:
        """Take a place; if there is none, another connection is dropped.

        Args:
            address: Where the caller calls from.
            evict: Called at most once, when the connection must end to make room for a newer one.
            shared: Many callers share this address, as behind a trusted proxy: only the total counts.
        """
        block = _SHARED if shared else _block(address)
        present = self._inside.get(block)
        if not shared and present is not None and len(present) >= self.limits.unauthenticated_per_address:
            self._drop(present, "crowded-address")
        while self._total >= self.capacity and self.drop_one():
            pass
        ticket = Ticket(self, block, evict)
        self._inside.setdefault(block, {})[ticket] = None
        self._total += 1
        return ticket

    def drop_one(self) -> bool:
        """Drop a stranger of the address that has most of them; returns whether there was one."""
        if not self._inside:
            return False
        self._drop(max(self._inside.values(), key=len), "crowded")
        return True

    def _drop(self, present: dict[Ticket, None], reason: str) -> None:
        older_half = (len(present) + 1) // 2
        index = min(int(self.random() * older_half), older_half - 1)
        victim = next(itertools.islice(present, index, None))
        victim.give_back()
        victim.dropped = reason
        victim.evict()

    def _leave(self, ticket: Ticket) -> None:
        present = self._inside[ticket.block]
        del present[ticket]
        if not present:
            del self._inside[ticket.block]
        self._total -= 1


@attrs.define(eq=False)
class Ticket:
    """A place at the gate, given back once.

    Attributes:
        block: The addresses that it counts for.
        evict: Ends the connection.
        dropped: Why the connection had to make room, or None.
    """

    _gate: Gate | None
    block: Hashable
    evict: Callable[[], object]
    dropped: str | None = attrs.field(default=None, init=False)

    def give_back(self) -> None:
        """Return the place back; a second time does nothing."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate._leave(self)  # noqa: SLF001 - the two are one thing


@contextlib.contextmanager
def holding(ticket: Ticket) -> Iterator[Ticket]:
    """Return the place back at the end of the block, if that has not happened before."""
    try:
        yield ticket
    finally:
        ticket.give_back()


def _block(address: IPAddress) -> Hashable:
    if isinstance(address, IPv6Address):
        return IPv6Network((address, IPV6_PREFIX), strict=False)
    return address
