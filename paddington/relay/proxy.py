"""The proxy: passes letters on between its peers, as its pairs allow, and opens none."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from ..connection import Connection
from ..context import Host
from ..errors import PaddingtonError
from .policy import Dropped, Forward, Pairs

FORWARD_SECONDS: Final = 5.0
"""A letter for a peer that takes nothing for this long is dropped: it must not hold up the sender's other letters."""


@attrs.define(eq=False)
class Proxy:
    """Serves each connection of a proxy."""

    host: Host
    pairs: Pairs

    async def serve(self, connection: Connection) -> None:
        """Pass on what a peer sends; whatever is no letter is dropped."""
        async for text in connection:
            match self.pairs.decide(connection.peer, text):
                case Forward(recipient):
                    try:
                        with trio.move_on_after(FORWARD_SECONDS) as scope:
                            await self.host.roster.connection(recipient).send(text)
                        if scope.cancelled_caught:
                            self._drop("relay-slow", connection, f"{recipient} takes nothing")
                    except PaddingtonError as exc:
                        self._drop("relay-away", connection, str(exc))
                case Dropped(reason, message):
                    self._drop(reason, connection, message)

    def _drop(self, reason: str, connection: Connection, why: str) -> None:
        self.host.refusals.note(
            reason, "%s: a payload of %s is dropped: %s", self.host.config.name, connection.peer, why
        )
