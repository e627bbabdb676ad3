"""The tasks that wait for a job: one `Watch` per job that is watched, none for the others."""

from __future__ import annotations

from typing import Self
from uuid import UUID

import attrs

from paddington import Peer
from paddington.waiters import Waiters

from ..errors import AgentStoppedError

_Key = tuple[Peer, int]


@attrs.define(eq=False)
class Watch:
    """Watches the changes of one job; several tasks can share it.

    Attributes:
        watchers: How many tasks share it.
        removed: Whether the job has left the board since.
        closed: Whether there will be no more changes.

    """

    _all: dict[_Key, Watch]
    _key: _Key
    watchers: int = attrs.field(default=0, init=False)
    removed: bool = attrs.field(default=False, init=False)
    closed: bool = False
    _waiters: Waiters = attrs.field(factory=Waiters, init=False)

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
            await self._waiters.wait()
        if self.closed:
            raise AgentStoppedError("The agent that holds the job has stopped")

    def wake(self) -> None:
        """Wake the tasks that wait now."""
        self._waiters.wake()


class Watches:
    """All watches of an agent."""

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
        """Wake the tasks that watch this job."""
        watch = self._watches.get((peer, job_id.int))
        if watch is not None:
            watch.removed = watch.removed or removed
            watch.wake()

    def close(self) -> None:
        """Wake every task for the last time."""
        self._closed = True
        for watch in self._watches.values():
            watch.closed = True
            watch.wake()
