"""Counts how the jobs end that were put at this agent: by outcome, by kind of error, and how long they took."""

from __future__ import annotations

import statistics
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import attrs
import trio

from paddington import Peer

from ..agent.agent import Agent
from ..agent.observer import Observer
from ..jobs.job import Job, Status
from ..jobs.outcome import Write
from ..jobs.route import place_of

MAX_TIMES: Final = 1_000
"""Latest jobs of which the times count."""

KINDS: Final = frozenset({"expired", "unroutable", "unsupported", "invalid", "run", "unknown"})
"""Kinds of errors that are counted by name; words of other agents' own count as `other`."""


@attrs.frozen(kw_only=True)
class PutCountsView:
    """Jobs that were put at this agent, since its start.

    Attributes:
        completed: Jobs that ended with a result.
        failed: Jobs that ended with an error, expired ones not included.
        expired: Jobs that expired.
        withdrawn: Jobs that were deleted before they ended.
        unfinished: Jobs that have not ended.
        failures: Jobs that ended with an error, by kind of error.
        median_ms: Median time from put to result of the latest jobs, in milliseconds.
        max_ms: The longest such time.
    """

    completed: int = 0
    failed: int = 0
    expired: int = 0
    withdrawn: int = 0
    unfinished: int = 0
    failures: dict[str, int] = attrs.field(factory=dict)
    median_ms: float = 0.0
    max_ms: float = 0.0


class PutCounts(Observer):
    """Watches an agent, and counts.

    Args:
        agent: The agent; unfinished jobs that are on its boards already are counted when they end, without a time.

    Attributes:
        on_ended: Called with the outcome, and the seconds from put to result, of each job that was put since.
    """

    def __init__(self, agent: Agent) -> None:
        self._name = agent.name
        self._open: dict[int, float | None] = {
            job.id.int: None
            for board in agent.boards.values()
            for job in board
            if not job.is_finished and self._is_own(job)
        }
        self._outcomes: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._times: deque[float] = deque(maxlen=MAX_TIMES)
        self.on_ended: Callable[[str, float], None] | None = None
        agent.observers.add(self)

    def _is_own(self, job: Job) -> bool:
        place = place_of(self._name, job.destination)
        return place is not None and place.is_first

    def job_put(self, peer: Peer, job: Job) -> None:
        """Note when a job was put."""
        self._open[job.id.int] = trio.current_time()

    def job_changed(self, write: Write) -> None:
        """Count a job that has ended."""
        job, key = write.job, write.job.id.int
        if key not in self._open or not (write.deleted or job.is_finished):
            return
        begun = self._open.pop(key)
        outcome = _outcome(job)
        self._outcomes[outcome] += 1
        if job.error_info is not None and outcome != "withdrawn":
            self._failures[job.error_info.kind if job.error_info.kind in KINDS else "other"] += 1
        if begun is not None and outcome != "withdrawn":
            seconds = trio.current_time() - begun
            self._times.append(seconds * 1000)
            if self.on_ended is not None:
                self.on_ended(outcome, seconds)

    def view(self) -> PutCountsView:
        """Return the counts as they are now."""
        outcomes = self._outcomes
        return PutCountsView(
            completed=outcomes["completed"],
            failed=outcomes["failed"],
            expired=outcomes["expired"],
            withdrawn=outcomes["withdrawn"],
            unfinished=len(self._open),
            failures=dict(self._failures),
            median_ms=statistics.median(self._times) if self._times else 0.0,
            max_ms=max(self._times, default=0.0),
        )


def _outcome(job: Job) -> str:
    if not job.is_finished:
        return "withdrawn"
    if job.status is not Status.ERROR:
        return "completed"
    return "expired" if job.error_info is not None and job.error_info.kind == "expired" else "failed"
