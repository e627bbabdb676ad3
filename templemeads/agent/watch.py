"""Who waits for which job: one event per job that somebody watches, none for the others."""

from __future__ import annotations

from typing import Self
from uuid import UUID

import attrs
import trio

from paddington import Peer

from ..errors import AgentStoppedError

_Key = tuple[Peer, int]


@attrs.define(eq=False)
class Watch:
    """A look-out for changes of one job; several tasks can share it.

    Attributes:
        watchers: How many tasks do.
        removed: Whether the job has left the board since.
        closed: Whether there will be no more changes.

    """

    _all: dict[_Key, Watch]
    _key: _Key
    watchers: int = attrs.field(default=0, init=False)
    removed: bool = attrs.field(default=False, init=False)
    closed: bool = False
    _changed: trio.Event | None = attrs.field(default=None, init=False)

    def __enter__(self) -> Self:
        self.watchers += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.watchers -= 1
        if not self.watchers:
            self._all.pop(self._key, None)

    async def wait(self) -> None:
        """Wait for the next change.

        Raises:
            AgentStoppedError: There will be none, since the agent has stopped.

        """
        if not self.closed:
            if self._changed is None:
                self._changed = trio.Event()
            await self._changed.wait()
        if self.closed:
            raise AgentStoppedError("The agent that holds the job has stopped")

    def wake(self) -> None:
        """Wake everyone who waits now."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None


class Watches:
    """All look-outs of an agent."""

    def __init__(self) -> None:
        self._watches: dict[_Key, Watch] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._watches)

    def watch(self, peer: Peer, job_id: UUID) -> Watch:
        """Watch a job for as long as a ``with`` block of what this returns lasts."""
        key = peer, job_id.int
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = Watch(self._watches, key, self._closed)
        return watch

    def changed(self, peer: Peer, job_id: UUID, *, removed: bool) -> None:
        """Wake those who watch this job."""
        watch = self._watches.get((peer, job_id.int))
        if watch is not None:
            watch.removed = watch.removed or removed
            watch.wake()

    def close(self) -> None:
        """Wake everyone for the last time."""
        self._closed = True
        for watch in self._watches.values():
            watch.closed = True
            watch.wake()
