"""Who waits for which job: one event per job that somebody watches, none for the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import attrs
import trio

from paddington import Peer

from .errors import AgentStoppedError


@attrs.define(eq=False)
class Watch:
    """A look-out for changes of one job; several tasks can share it.

    Attributes:
        watchers: How many tasks do.
        removed: Whether the job has left the board since.
        closed: Whether there will be no more changes.

    """

    watchers: int = 0
    removed: bool = False
    closed: bool = False
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def wait(self) -> None:
        """Wait for the next change.

        Raises:
            AgentStoppedError: There will be none, since the agent has stopped.

        """
        if not self.closed:
            await self._changed.wait()
        if self.closed:
            raise AgentStoppedError("The agent that holds the job has stopped")

    def wake(self) -> None:
        """Wake everyone who waits now."""
        self._changed.set()
        self._changed = trio.Event()


class Watches:
    """All look-outs of an agent."""

    def __init__(self) -> None:
        self._watches: dict[tuple[Peer, UUID], Watch] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._watches)

    @contextmanager
    def watch(self, peer: Peer, job_id: UUID) -> Iterator[Watch]:
        """Watch a job for as long as the ``with`` block lasts."""
        key = peer, job_id
        watch = self._watches.setdefault(key, Watch(closed=self._closed))
        watch.watchers += 1
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                self._watches.pop(key, None)

    def changed(self, peer: Peer, job_id: UUID, *, removed: bool) -> None:
        """Wake those who watch this job."""
        watch = self._watches.get((peer, job_id))
        if watch is not None:
            watch.removed = watch.removed or removed
            watch.wake()

    def close(self) -> None:
        """Wake everyone for the last time."""
        self._closed = True
        for watch in self._watches.values():
            watch.closed = True
            watch.wake()
