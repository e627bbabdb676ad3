"""State that the listening and the dialling side of a running service share."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Final

import attrs
import trio

from .config.service_config import ServiceConfig
from .connection import Connection, Serve
from .limits import Limits
from .network import Network
from .protocol.local import LocalService
from .refusals import Refusals
from .standby import Place, Roster

logger: Final = logging.getLogger(__name__)


@attrs.define(eq=False)
class Opening:
    """A connection on its way to being primary: under a deadline, and the first to end when the service
    closes.

    Attributes:
        scope: Holds all that is done until then.
        doing: What the deadline limits, in words.
    """

    scope: trio.CancelScope
    doing: str
    _all: set["Opening"]

    def extend(self, seconds: float, doing: str) -> None:
        """Set a new deadline, from now."""
        self.scope.deadline = trio.current_time() + seconds
        self.doing = doing

    async def done(self) -> None:
        """Mark it as primary: it has no deadline and closes in order. Not a checkpoint, unless it is too late."""
        # Nothing else runs between here and the end of the block, which must not end as if it had succeeded.
        await trio.lowlevel.checkpoint_if_cancelled()
        self.scope.deadline = math.inf
        self._all.discard(self)


@attrs.define(eq=False, kw_only=True)
class Host:
    """One running service, as its connections see it.

    Attributes:
        config: Its configuration; while it runs only its peers change.
        local: Its part in every handshake.
        network: How it reaches other services.
        serve: The user's task for each connection.
        patience: Seconds that this task has to return once its connection is lost.
        refusals: Counts what it refused.
        roster: The primary connections.
        closing: Whether it is closing.
    """

    config: ServiceConfig
    local: LocalService
    network: Network
    serve: Serve
    patience: float
    refusals: Refusals
    roster: Roster
    unix_time: Callable[[], float] = time.time
    closing: bool = attrs.field(default=False, init=False)
    _openings: set[Opening] = attrs.field(factory=set, init=False)

    @property
    def limits(self) -> Limits:
        """The limits of the service."""
        return self.local.limits

    @contextlib.contextmanager
    def opening(self, seconds: float, doing: str) -> Iterator[Opening]:
        """Bound what leads to a connection; the block ends at the deadline or when the service closes.

        Args:
            seconds: From now to the deadline.
            doing: What is limited, in words.

        Raises:
            trio.TooSlowError: The deadline passed.
        """
        with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
            opening = Opening(scope, doing, self._openings)
            self._openings.add(opening)
            if self.closing:
                scope.cancel(reason="the service closes")
            try:
                yield opening
            finally:
                self._openings.discard(opening)
        if scope.cancelled_caught and not self.closing:
            raise trio.TooSlowError(f"{opening.doing} took too long")

    def close_openings(self) -> None:
        """Begin to close: end connections that are not yet primary, and start no new ones."""
        self.closing = True
        for opening in tuple(self._openings):
            opening.scope.cancel(reason="the service closes")

    async def run(self, place: Place, connection: Connection, nursery: trio.Nursery) -> None:
        """Run a primary connection until it is over, with its tasks in the nursery, and free its place."""
        place.connection = connection
        info = connection.info
        logger.info(
            "%s: connected with %s (%s %s) %s %s",
            self.config.name,
            connection.peer,
            info.engine,
            info.version,
            "at" if connection.dialled else "from",
            connection.caller,
        )
        if info.downgraded:
            logger.warning(
                "%s: %s numbered its payloads in an earlier connection and no longer does. "
                "Was it downgraded to an older release?",
                self.config.name,
                connection.peer,
            )
        try:
            await connection.run(self.serve, patience=self.patience, nursery=nursery)
        finally:
            logger.info(
                "%s: no longer connected with %s: %s", self.config.name, connection.peer, connection.reason
            )
            self.roster.release(place)
