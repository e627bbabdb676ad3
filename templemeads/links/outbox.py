"""What waits to be sent to one connected peer: a memory channel from the executor to the link's writer.

The channel carries control texts, and of changed jobs the keys: what is sent is the job as it is when its turn comes. So
however often a job changes while the connection is slow, its key is in the channel once, its progress is coalesced, and its
result takes the place that its progress had. Closing the channel ends the writer once everything in it is sent.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque

import trio

from ..jobs.board import size_of
from ..jobs.job import Job
from ..jobs.outcome import Kind
from ..values import hot_value

MAX_QUEUED_CHARACTERS = 8 * 2**20
"""Length of the texts, and of the deleted jobs, that wait; more are dropped and counted."""


@hot_value
class Waiting:
    """A job to send.

    Attributes:
        kind: With which command.
        job: The job as it was when this was asked for: what a ``Delete`` carries.

    """

    kind: Kind
    job: Job


class Outbox:
    """The two ends of the channel, and what its keys stand for.

    Args:
        texts: How many texts may wait; further ones are dropped and counted.
        characters: How long the texts, and the deleted jobs, may be in all; further ones are dropped and counted.

    """

    def __init__(self, texts: int, characters: int = MAX_QUEUED_CHARACTERS) -> None:
        self._max_texts = texts
        self._max_characters = characters
        self._characters = 0
        self._texts = 0
        self._jobs: dict[int, Waiting] = {}
        # Bounded here: keys by the jobs of the board and the length of deleted ones, texts by their number and length.
        self._put, self._take = trio.open_memory_channel[int | str](math.inf)
        self._taken_texts: deque[str] = deque()
        self._taken_keys: deque[int] = deque()
        self._is_closed = False
        self.dropped = 0

    def __len__(self) -> int:
        return self._texts + len(self._jobs)

    def add_text(self, text: str) -> bool:
        """Queue a control text; return whether there was room for it."""
        if self._is_closed:
            return False
        if self._texts >= self._max_texts or self._characters + len(text) > self._max_characters:
            self.dropped += 1
            return False
        self._texts += 1
        self._characters += len(text)
        self._put.send_nowait(text)
        return True

    def add_job(self, kind: Kind, job: Job) -> None:
        """Ask for a job to be sent; one request per job is kept, the latest. The next ``Sync`` has what comes too late."""
        if self._is_closed:
            return
        key = job.id.int
        waiting = self._jobs.get(key)
        if kind is Kind.DELETE and (waiting is None or waiting.kind is not kind):
            # Every other job that waits is on the board and bounded there; a deleted one may be nowhere else.
            if self._characters + size_of(job) > self._max_characters:
                self.dropped += 1
                return
            self._characters += size_of(job)
        # An update says more than the put it overtakes only to a peer that has the job: the put stays a put.
        if waiting is None or kind is Kind.DELETE or waiting.kind is kind:
            self._jobs[key] = Waiting(kind, job)
        if waiting is None:
            self._put.send_nowait(key)

    async def take(self, limit: int) -> list[str | Waiting]:
        """Wait until something is queued, and take up to ``limit`` of it; texts first, but never nothing else.

        Raises:
            trio.EndOfChannel: The outbox was closed, and everything was taken.

        """
        if not self._taken_texts and not self._taken_keys:
            self._sort(await self._take.receive())
        with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                self._sort(self._take.receive_nowait())
        taken: list[str | Waiting] = []
        # A flood of texts leaves room for jobs.
        most_texts = max(limit - len(self._taken_keys), (limit + 1) // 2)
        while self._taken_texts and len(taken) < most_texts:
            text = self._taken_texts.popleft()
            self._texts -= 1
            self._characters -= len(text)
            taken.append(text)
        while self._taken_keys and len(taken) < limit:
            waiting = self._jobs.pop(self._taken_keys.popleft())
            if waiting.kind is Kind.DELETE:
                self._characters -= size_of(waiting.job)
            taken.append(waiting)
        return taken

    def close(self) -> None:
        """Queue nothing more; the writer ends once it has taken what is queued."""
        self._is_closed = True
        self._put.close()

    def _sort(self, item: int | str) -> None:
        if isinstance(item, str):
            self._taken_texts.append(item)
        else:
            self._taken_keys.append(item)
