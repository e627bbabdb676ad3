"""What waits to be sent to one connected peer.

Jobs wait by id: what is sent is the job as it is when its turn comes. So however often a job changes while the line is
slow, it waits once, its progress is coalesced, and its result takes the place that its progress had.
"""

from __future__ import annotations

from collections import OrderedDict

import attrs
import trio

from ..jobs.board import size_of
from ..jobs.job import Job
from ..jobs.outcome import Kind


@attrs.frozen
class Waiting:
    """A job to tell of.

    Attributes:
        kind: With which command.
        job: The job as it was when this was asked for: what a ``Delete`` carries.

    """

    kind: Kind
    job: Job


class Outbox:
    """Texts and jobs for one peer, in the order in which they were asked for; texts go first.

    Args:
        texts: How many texts are held; further ones are dropped and counted.
        characters: How long the texts, and the deleted jobs, may be in all; further ones are dropped and counted.

    """

    def __init__(self, texts: int, characters: int = 8 * 2**20) -> None:
        self._limit = texts
        self._most_characters = characters
        self._characters = 0
        self._texts: list[str] = []
        self._jobs: OrderedDict[int, Waiting] = OrderedDict()
        self._is_done = True
        # Made when somebody waits: an agent has an outbox for each peer, and most of the time nothing in it.
        self._filled: trio.Event | None = None
        self._done: trio.Event | None = None
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._texts) + len(self._jobs)

    def add_text(self, text: str) -> bool:
        """Queue a text; return whether there was room for it."""
        if len(self._texts) >= self._limit or self._characters + len(text) > self._most_characters:
            self.dropped += 1
            return False
        self._texts.append(text)
        self._characters += len(text)
        self._fill()
        return True

    def add_job(self, kind: Kind, job: Job) -> None:
        """Ask for the peer to be told of a job; one request per job is kept, the latest."""
        waiting = self._jobs.get(job.id.int)
        if kind is Kind.DELETE and (waiting is None or waiting.kind is not kind):
            # Every other job that waits is on the board and bounded there; a deleted one may be nowhere else.
            if self._characters + size_of(job) > self._most_characters:
                self.dropped += 1
                return
            self._characters += size_of(job)
        # An update tells more than the put it overtakes only to someone who has the job: the put stays a put.
        if waiting is None or kind is Kind.DELETE or waiting.kind is kind:
            self._jobs[job.id.int] = Waiting(kind, job)
        self._fill()

    async def take(self, most: int) -> list[str | Waiting]:
        """Wait until something is there, and take up to ``most`` of it."""
        if not self:
            self._is_done = True
            if self._done is not None:
                self._done.set()
                self._done = None
            self._filled = trio.Event()
            await self._filled.wait()
        # A flood of texts leaves room for jobs.
        texts = self._texts[: max(most - len(self._jobs), (most + 1) // 2)]
        del self._texts[: len(texts)]
        self._characters -= sum(map(len, texts))
        taken: list[str | Waiting] = [*texts]
        while self._jobs and len(taken) < most:
            _, waiting = self._jobs.popitem(last=False)
            if waiting.kind is Kind.DELETE:
                self._characters -= size_of(waiting.job)
            taken.append(waiting)
        return taken

    async def wait_emptied(self) -> None:
        """Wait until everything has been taken, and whoever took it has come back for more."""
        if not self._is_done:
            if self._done is None:
                self._done = trio.Event()
            await self._done.wait()

    def _fill(self) -> None:
        self._is_done = False
        if self._filled is not None:
            self._filled.set()
            self._filled = None
