"""Who a connection is with: a name within a zone."""

from __future__ import annotations

from typing import NamedTuple, Self

from .errors import ConfigError
from .text import quoted

DEFAULT_ZONE = "default"
"""The zone of a peer for which none is given."""


class Peer(NamedTuple):
    """A named service within a zone; written `name@zone`.

    A tuple, since a job looks up some fifty things by peer: Python hashes and compares tuples without calling a function.

    Attributes:
        name: the service's name. Its rules are checked where it enters (configuration, invitation).
        zone: the zone of the connection.
    """

    name: str
    zone: str = DEFAULT_ZONE

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name@zone`; a bare name is in the default zone.

        Raises:
            ConfigError: either part is empty, or there is more than one `@`.
        """
        name, at, zone = text.partition("@")
        if not at:
            zone = DEFAULT_ZONE
        if not name or not zone or "@" in zone:
            raise ConfigError(f"{quoted(text)} is not a peer: write name@zone, such as portal@{DEFAULT_ZONE}")
        return cls(name, zone)

    def __str__(self) -> str:
        return f"{self.name}@{self.zone}"
