"""The state that a running service shares between its handshakes."""

from __future__ import annotations

import os
from typing import Self

import attrs

from ..limits import Limits
from ..peer import Peer
from .crypto import Random
from .envelope import Mark
from .replay import EpochWindows, Numbers, Stamp


@attrs.frozen(kw_only=True, eq=False)
class LocalService:
    """The state that a running service shares between its handshakes; make one per `open_service`.

    Everything is in memory only: a restart comes with another epoch and another mark.

    Attributes:
        name: The service's own name.
        limits: Its limits.
        engine: Name of its software.
        version: The version of that.
        refuse_downgrade: Refuse a peer that announced numbered payloads before and does not now.
        framings: Framings beside the compatible one that we agree to, best first.
        random: Source of randomness.
        epoch: 64 random bits that tell this process from every other of the same name.
        mark: Recognises the frames that we have sent.
        numbers: The numbers that we have used.
        windows: The numbers that we have seen.
    """

    name: str
    limits: Limits
    engine: str
    version: str
    refuse_downgrade: bool
    framings: tuple[str, ...] = ()
    random: Random = attrs.field(repr=False)
    epoch: int
    mark: Mark
    numbers: Numbers = attrs.field(factory=Numbers, repr=False)
    windows: EpochWindows = attrs.field(repr=False)

    @classmethod
    def create(
        cls,
        name: str,
        *,
        limits: Limits | None = None,
        engine: str = "paddington",
        version: str = "0.1.0",
        refuse_downgrade: bool = False,
        framings: tuple[str, ...] = (),
        random: Random = os.urandom,
    ) -> Self:
        """Make the state of a service that starts now.

        Args:
            name: The service's own name.
            limits: Its limits; the defaults if not given.
            engine: Name of its software.
            version: The version of that.
            refuse_downgrade: Refuse a peer that announced numbered payloads before and does not now.
            framings: Framings beside the compatible one that we agree to, best first.
            random: Source of randomness.
        """
        limits = limits or Limits()
        return cls(
            name=name,
            limits=limits,
            engine=engine,
            version=version,
            refuse_downgrade=refuse_downgrade,
            framings=framings,
            random=random,
            epoch=int.from_bytes(random(8), "big"),
            mark=Mark.generate(random),
            windows=EpochWindows(size=limits.replay_window, epochs=limits.epochs),
        )

    def stamp(self, peer: Peer, unix_seconds: float) -> Stamp:
        """Draw the number for the next message of a handshake with this peer."""
        return Stamp(self.numbers.draw(peer, unix_seconds), self.epoch)
