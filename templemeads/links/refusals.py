"""Counts what is refused, and logs it without letting a peer fill the log."""

from __future__ import annotations

import logging
from collections import Counter

from paddington import Peer

_log = logging.getLogger("templemeads.refusals")

LONGEST_REASON = 500
"""Characters of a reason that are logged."""


class Refusals:
    """Refusals by kind; each peer's are logged once in a while, with the number of those that were left out.

    Args:
        seconds: How long nothing more is logged of the same kind from the same peer.

    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last: dict[tuple[Peer, str], float] = {}
        self._left_out: Counter[tuple[Peer, str]] = Counter()
        self.counts: Counter[str] = Counter()

    def count(self, kind: str) -> None:
        """Count a refusal that is logged elsewhere."""
        self.counts[kind] += 1

    def add(self, peer: Peer, kind: str, reason: str, now: float) -> None:
        """Count a refusal, and log it unless one of this kind from this peer was logged just now.

        Args:
            peer: Who was refused. Only configured peers come here, so the table is bounded.
            kind: A short word.
            reason: One sentence; control characters in it are escaped.
            now: Seconds on any clock that does not go back.

        """
        self.count(kind)
        self.tell(peer, kind, f"refused {kind} from {peer}: {ascii(reason)[1:-1][:LONGEST_REASON]}", now)

    def tell(self, peer: Peer, kind: str, line: str, now: float, *, level: int = logging.WARNING) -> None:
        """Log a line about a peer unless one of this kind was logged just now.

        Args:
            peer: Whom it is about.
            kind: A short word.
            line: The line, printable and bounded.
            now: As for `add`.
            level: Level of the log.

        """
        key = peer, kind
        last = self._last.get(key)
        if last is not None and now - last < self._seconds:
            self._left_out[key] += 1
            return
        self._last[key] = now
        left_out = self._left_out.pop(key, 0)
        more = f" ({left_out} more since the last such line)" if left_out else ""
        _log.log(level, "%s%s", line, more)
