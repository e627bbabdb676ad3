"""What a proxy decides about a payload: who may write to whom. It opens nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Self, TypeAlias

import attrs

from ..config.names import check_name
from ..errors import ConfigError
from ..peer import Peer
from ..text import quoted
from .letter import Letter


@attrs.frozen
class Forward:
    """Pass the payload on, unchanged, to this peer."""

    recipient: Peer


@attrs.frozen
class Dropped:
    """Drop the payload.

    Attributes:
        reason: One short word, for counting: `relay-kind`, `relay-sender` or `relay-pair`.
        message: Why, in one sentence; foreign text in it is quoted and cut.
    """

    reason: str
    message: str


Decision: TypeAlias = Forward | Dropped

_NO_LETTER: Final = Dropped("relay-kind", "it is no letter to pass on")


@attrs.frozen
class Pairs:
    """The unordered pairs of names that may write to each other through this proxy."""

    pairs: frozenset[frozenset[str]]
    peers: dict[str, Peer] = attrs.field(eq=False)

    @classmethod
    def create(cls, pairs: Iterable[Iterable[str]], peers: Iterable[Peer]) -> Self:
        """Check and take the pairs of a proxy's configuration.

        Args:
            pairs: Two names each.
            peers: All peers of the proxy.

        Raises:
            ConfigError: A pair has not two different names, a name is unknown, or is in two zones.
        """
        known = tuple(peers)
        zones = Counter(peer.name for peer in known)
        taken = set()
        for pair in pairs:
            names = [check_name(name) for name in pair]
            if len(names) != 2 or names[0] == names[1]:
                raise ConfigError(f"A pair of the relay names two different services, not {names}")
            for name in names:
                if zones[name] == 0:
                    raise ConfigError(
                        f"The relay's pairs name {quoted(name)}, which is neither client nor server here"
                    )
                if zones[name] > 1:
                    raise ConfigError(
                        f"The relay's pairs name {quoted(name)}, which is in several zones here"
                    )
            taken.add(frozenset(names))
        return cls(frozenset(taken), {peer.name: peer for peer in known})

    def decide(self, sender: Peer, text: str) -> Decision:
        """Decide about a payload of an authenticated peer."""
        letter = Letter.read(text)
        if letter is None:
            return _NO_LETTER
        if letter.sender != sender.name:
            return Dropped("relay-sender", f"it claims to come from {quoted(letter.sender)}")
        if frozenset((letter.sender, letter.recipient)) not in self.pairs:
            return Dropped("relay-pair", f"no pair allows it to write to {quoted(letter.recipient)}")
        return Forward(self.peers[letter.recipient])
