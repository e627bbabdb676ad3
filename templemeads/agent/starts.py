"""Counts the starts of each job's handler in the store, so that one bad job cannot end the agent again and again.

A handler that takes the process down (`os._exit`, a crash in a C library, all memory used up) would be started again with
every start of the agent, for as long as its job lives. So the store counts a start before the handler is called, and forgets
the count when the handler was left in good order. What is left over was a death of the process.

All jobs whose handlers ran when the process died are counted, not only the one to blame. So the last start that a job gets
happens alone: one such job at a time. Then the bad one is found, and the others are not refused for its sake.
"""

from __future__ import annotations

import logging
from typing import Final

import trio

from ..errors import JobError
from ..jobs.job import Job
from ..stores.memory import MemoryStore
from ..stores.store import BoardStore
from .envelope import Envelope
from .handlers import Handler

_log = logging.getLogger("templemeads.runner")


def counted(handler: Handler, store: BoardStore, limit: int) -> Handler:
    """Return a handler whose starts are counted; the same handler if the store does not outlive the process.

    Args:
        handler: The agent's handler.
        store: Holds the counts.
        limit: How often the handler of one job is started (`Limits.handler_starts`).

    """
    return handler if type(store) is MemoryStore else _CountedHandler(handler, store, limit).call


class _CountedHandler:
    def __init__(self, handler: Handler, store: BoardStore, limit: int) -> None:
        self._handler: Final = handler
        self._store: Final = store
        self._limit: Final = limit
        self._last_start: Final = trio.Lock()

    async def call(self, envelope: Envelope) -> Job:
        """Call the handler, unless it has been started too often.

        Raises:
            JobError: It has.

        """
        assert envelope.peer is not None
        peer, job = envelope.peer.peer, envelope.job
        before = self._store.starts(peer, job.id)
        if before >= self._limit:
            _log.error(
                "the handler of %s is not started again: the process has died %d times while it ran",
                ascii(str(job.instruction)[:80]),
                before,
            )
            raise JobError(
                f"The handler was started {before} times and the process of {envelope.recipient} died each time, "
                f"so it is not started again; see the log of {envelope.recipient}, job {job.id}",
                kind="run",
                origin=envelope.recipient,
            )
        if before and before == self._limit - 1:
            async with self._last_start:
                return await self._count_and_call(envelope)
        return await self._count_and_call(envelope)

    async def _count_and_call(self, envelope: Envelope) -> Job:
        assert envelope.peer is not None
        peer, job = envelope.peer.peer, envelope.job
        try:
            count = await self._store.count_start(peer, job.id)
            if count > 1:
                _log.warning(
                    "start %d of the handler of %s: the process died while it ran before",
                    count,
                    ascii(str(job.instruction)[:80]),
                )
            return await self._handler(envelope)
        finally:
            # However the handler was left, the process lives.
            self._store.clear_starts(peer, job.id)
