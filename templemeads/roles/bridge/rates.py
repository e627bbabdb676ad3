"""How many requests one address may make, and whose address a request has.

Requests whose signature holds and those without one are counted apart, so that a stranger cannot use up the share of a web
portal. Source: the protocol page *bridge*, section 1.2; *newer-protocol*, section 14.2.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import attrs

from paddington.config.address import Addresses

WINDOW_SECONDS: Final = 10.0
"""A count begins with a first request and is over after this time."""


@attrs.define(eq=False)
class Rates:
    """Requests by address, within a window that begins with the first of them.

    Attributes:
        requests: How many requests of one address are taken in a window.
        addresses: How many addresses are counted at once; when there are more, the oldest count is dropped.
    """

    requests: int
    addresses: int
    _counts: OrderedDict[str, tuple[float, int]] = attrs.field(factory=OrderedDict, init=False)

    def take(self, address: str, now: float) -> bool:
        """Count a request, and return whether it is within the limit.

        Args:
            address: Whose request it is.
            now: Seconds on a clock that never goes back.
        """
        since, count = self._counts.get(address, (now, 0))
        if now - since > WINDOW_SECONDS:
            since, count = now, 0
        if count >= self.requests:
            return False
        self._counts[address] = since, count + 1
        self._counts.move_to_end(address)
        while len(self._counts) > self.addresses:
            self._counts.popitem(last=False)
        return True

    def is_exhausted(self, address: str, now: float) -> bool:
        """Whether a further request of this address would be refused; nothing is counted."""
        since, count = self._counts.get(address, (now, 0))
        return count >= self.requests and now - since <= WINDOW_SECONDS


def caller_of(peer: str, trusted: Addresses | None, forwarded: Sequence[str], real_ip: str | None) -> str:
    """Return the address that a request is counted under.

    Args:
        peer: The address of the TCP connection.
        trusted: The proxies that may name another address; None trusts nobody.
        forwarded: The values of all `X-Forwarded-For` headers, in order.
        real_ip: The value of `X-Real-IP`.
    """
    if trusted is None or not _is_among(peer, trusted):
        return peer
    entries = [entry.strip() for value in forwarded for entry in value.split(",")]
    for entry in reversed(entries):
        address = _parsed(entry)
        if address is None:
            break
        if address not in trusted:
            return str(address)
    if not entries and real_ip is not None and (address := _parsed(real_ip.strip())) is not None:
        return str(address)
    return peer


def _is_among(peer: str, trusted: Addresses) -> bool:
    address = _parsed(peer)
    return address is not None and address in trusted


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
