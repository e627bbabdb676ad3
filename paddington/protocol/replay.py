"""What must be remembered so that nothing counts twice.

Sources: protocol pages *newer-protocol*, sections 3 and 4, and *security-cases*, P27 to P32. Four memories,
all of them bounded:

- `Window`: one sender's numbers within one connection or one of its processes; constant size.
- `EpochWindows`: per peer, the windows of its latest processes; one per service.
- `Numbers`: the numbers that we have used ourselves, per peer; one per service.
- `InfoMemory`: the infos of one connection with a peer that does not number its payloads. It grows with the
  frames up to a limit, at which the connection must be renewed rather than anything forgotten.

Rule 1: look first, mark last. Nothing that a peer said is marked before a seal has opened that only the
peer could have made in *this* connection; so a repeated Handshake of long ago moves nothing that the honest
peer needs.

Rule 2: check and mark happen in one call, without anything between them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import attrs

from ..peer import Peer

MAX_NUMBER = 2**64 - 1
"""Numbers and epochs are unsigned integers of 64 bits."""

FINGERPRINT_SIZE = 16
"""Bytes of an info that are remembered; infos are random, so two never agree in them."""


def is_number(value: object) -> bool:
    """Whether a JSON value is an unsigned integer of 64 bits: no boolean, no float, no text."""
    return type(value) is int and 0 <= value <= MAX_NUMBER


class Window:
    """Which numbers of one sender have come (protocol page *newer-protocol*, section 4).

    Args:
        size: Numbers below the highest one that may still come; older ones are refused.
    """

    __slots__ = ("_highest", "_mask", "_seen", "_size")

    def __init__(self, size: int = 1024) -> None:
        self._size = size
        self._mask = (1 << size) - 1
        self._highest = -1
        # Bit i stands for the number highest - i.
        self._seen = 0

    def allows(self, number: int) -> bool:
        """Whether `accept` would take this number."""
        age = self._highest - number
        return age < 0 or (age < self._size and not self._seen >> age & 1)

    def accept(self, number: int) -> bool:
        """Mark a number; False if it came before or is too old."""
        age = self._highest - number
        if age < 0:
            # Shifting by the gap itself would take as much memory as the gap is wide.
            moved = self._seen << -age & self._mask if -age < self._size else 0
            self._seen = moved | 1
            self._highest = number
            return True
        if age >= self._size or self._seen >> age & 1:
            return False
        self._seen |= 1 << age
        return True


@attrs.frozen
class Stamp:
    """The number and the epoch in one message of a handshake; None where the peer gave none."""

    number: int | None
    epoch: int | None


class EpochWindows:
    """The numbers that peers have used in handshakes, by process (protocol page *newer-protocol*, section 3).

    A restarted peer comes with another epoch, hence with another window, and any first number; a Handshake
    recorded from one of its `epochs` latest processes is refused.

    Numbers without an epoch (release 0.90) are never refused across connections: such a peer counts from 0
    again after each restart. It has proven to be fresh by the time they are looked at, see rule 1.

    Peers are added by established identity only, so there are never more than the configuration has.
    """

    __slots__ = ("_announced", "_epochs", "_peers", "_size")

    def __init__(self, *, size: int = 1024, epochs: int = 8) -> None:
        self._size = size
        self._epochs = epochs
        self._peers: dict[Peer, OrderedDict[int, Window]] = {}
        self._announced: set[Peer] = set()

    def allows(self, peer: Peer, stamp: Stamp) -> bool:
        """Whether the stamp is new as far as we remember; marks nothing."""
        if stamp.number is None or stamp.epoch is None:
            return True
        windows = self._peers.get(peer)
        window = None if windows is None else windows.get(stamp.epoch)
        return window is None or window.allows(stamp.number)

    def commit(self, peer: Peer, stamps: Iterable[Stamp]) -> bool:
        """Mark the stamps of one handshake, whose peer has proven itself; False if one of them came before.

        Of a refused handshake those before the refused one stay marked, which only its own peer could bring
        about.
        """
        # Without epoch: a window for this handshake alone, in which its two numbers must differ.
        unnamed = Window(self._size)
        for stamp in stamps:
            if stamp.number is None:
                continue
            window = unnamed if stamp.epoch is None else self._window(peer, stamp.epoch)
            if not window.accept(stamp.number):
                return False
        return True

    def note_support(self, peer: Peer, *, supports: bool) -> bool:
        """Remember whether the peer announced numbered payloads; True if it did once and does no longer."""
        if supports:
            self._announced.add(peer)
        return not supports and peer in self._announced

    def forget(self, peer: Peer) -> None:
        """Drop everything about a peer that has left the configuration."""
        self._peers.pop(peer, None)
        self._announced.discard(peer)

    def _window(self, peer: Peer, epoch: int) -> Window:
        windows = self._peers.setdefault(peer, OrderedDict())
        window = windows.get(epoch)
        if window is None:
            window = windows[epoch] = Window(self._size)
            if len(windows) > self._epochs:
                windows.popitem(last=False)
        windows.move_to_end(epoch)
        return window


class Numbers:
    """The numbers that we put into handshakes, per peer, in either role.

    They are at least the wall clock in seconds, so that they rise across restarts: a receiver of release
    0.90 ignores our epoch and would refuse a count that begins again (protocol page *newer-protocol*,
    section 3).
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[Peer, int] = {}

    def draw(self, peer: Peer, unix_seconds: float) -> int:
        """Return the next number for this peer."""
        number = max(self._last.get(peer, -1) + 1, int(unix_seconds)) & MAX_NUMBER
        self._last[peer] = number
        return number


class InfoMemory:
    """The frames of one connection that have come, for a peer that does not number its payloads.

    Sixteen bytes each, in buckets by Python's keyed hash: a peer cannot crowd one bucket, and a bucket
    stays small enough to be searched as one piece of memory.

    Args:
        limit: Frames to remember. Forgetting one would let its repeat pass, so at the limit nothing more is
            taken.
    """

    __slots__ = ("_buckets", "_count", "_limit")

    _BUCKETS = 4096

    def __init__(self, limit: int = 1_000_000) -> None:
        self._limit = limit
        self._count = 0
        self._buckets: dict[int, bytearray] = {}

    @property
    def full(self) -> bool:
        """Whether the limit is reached: renew the connection."""
        return self._count >= self._limit

    def __len__(self) -> int:
        return self._count

    def __contains__(self, fingerprint: bytes) -> bool:
        bucket = self._buckets.get(hash(fingerprint) % self._BUCKETS)
        return bucket is not None and _holds(bucket, fingerprint)

    def add(self, fingerprint: bytes) -> bool:
        """Remember a frame; False if it came before.

        Args:
            fingerprint: 16 bytes of an info, of a frame that has opened. Ask `full` before.
        """
        bucket = self._buckets.setdefault(hash(fingerprint) % self._BUCKETS, bytearray())
        if _holds(bucket, fingerprint):
            return False
        bucket += fingerprint
        self._count += 1
        return True


def _holds(bucket: bytearray, fingerprint: bytes) -> bool:
    at = bucket.find(fingerprint)
    while at % FINGERPRINT_SIZE and at > 0:
        # A match astride two entries: possible only if somebody chose infos for it.
        at = bucket.find(fingerprint, at + 1)
    return at >= 0
