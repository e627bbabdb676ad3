"""What the bridge tells its clients: changes of their jobs, jobs and notifications that wait for the web portal.

An observer hears of a change before the store has committed it. What clients are sent waits here until it has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import trio

from paddington.waiters import Waiters

from ...agent.observer import Observer
from ...jobs.outcome import Write
from .event_log import EventLog


class BridgeFeed(Observer):
    """Turns what happens into events for clients.

    Args:
        name: The agent's name: jobs whose path begins with it are those of clients.
        life: Names this life of the bridge.
        wait_committed: Waits until the store has committed all that has happened so far.

    Attributes:
        log: The events.
        is_closing: Whether no more events will come.
    """

    def __init__(self, name: str, life: str, wait_committed: Callable[[], Awaitable[None]]) -> None:
        self.log = EventLog(life)
        self.is_closing = False
        self._name = name
        self._wait_committed = wait_committed
        self._pending: list[tuple[str, Mapping[str, Any]]] = []
        self._is_pending = Waiters()
        self._changed = Waiters()

    def job_changed(self, write: Write) -> None:
        """See `Observer`."""
        if write.job.destination.agents[0] == self._name:
            deleted = {"id": str(write.job.id), "deleted": True}
            self.add("job", deleted if write.deleted else write.job.to_json())

    def add(self, kind: str, data: Mapping[str, Any]) -> None:
        """Send an event to clients once the store has committed all that has happened so far."""
        self._pending.append((kind, data))
        self._is_pending.wake()

    async def run(self) -> NoReturn:
        """Move events to the log as they are committed."""
        while True:
            while not self._pending:
                await self._is_pending.wait()
            pending, self._pending = self._pending, []
            await self._wait_committed()
            for kind, data in pending:
                self.log.add(kind, data)
            self._changed.wake()

    def close(self) -> None:
        """Let event streams end."""
        self.is_closing = True
        self._changed.wake()

    async def wait_changed(self) -> None:
        """Wait until an event was added, or no more will be."""
        if self.is_closing:
            await trio.lowlevel.checkpoint()
        else:
            await self._changed.wait()
