"""The jobs that wait for the web portal.

A job is on the board from its arrival until it is answered, deleted or expired. The first final answer stands, whenever it
comes: also before the web portal has been signalled, and when no signal ever got through. Source: the protocol page
*bridge*, sections 4.4 and 5; what is done otherwise there is said here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from uuid import UUID

import attrs

from ...errors import RefusedError
from ...jobs.job import Job


class Answered(enum.Enum):
    """What became of an answer."""

    TAKEN = "taken"
    UNKNOWN = "unknown"
    OLD = "old"
    DIFFERENT = "different"


@attrs.define(eq=False)
class WebBoard:
    """Jobs by id, in the order in which they came.

    Attributes:
        max_jobs: How many jobs may wait; more are refused.
    """

    max_jobs: int
    _jobs: dict[UUID, Job] = attrs.field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(tuple(self._jobs.values()))

    def add(self, job: Job) -> None:
        """Add a job that has arrived.

        Raises:
            RefusedError: A job with this id waits already, or too many do.
        """
        if job.id in self._jobs:
            raise RefusedError(f"The job {job.id} waits for the web portal already")
        if len(self._jobs) >= self.max_jobs:
            raise RefusedError(f"{len(self._jobs)} jobs wait for the web portal already, which is the limit")
        self._jobs[job.id] = job

    def waiting(self, now: float) -> tuple[Job, ...]:
        """Return the jobs that the web portal can still answer, oldest first.

        Args:
            now: Seconds since 1970 UTC.
        """
        return tuple(job for job in self._jobs.values() if not job.is_finished and not job.is_expired(now))

    def find(self, job_id: UUID, now: float) -> Job | None:
        """Return a job that can still be answered, or None."""
        job = self._jobs.get(job_id)
        return None if job is None or job.is_finished or job.is_expired(now) else job

    def current(self, job_id: UUID) -> Job | None:
        """Return a job as it stands, answered or not, or None if it has left the board."""
        return self._jobs.get(job_id)

    def answer(self, answer: Job) -> Answered:
        """Take what the web portal says of a job.

        Only state, result and type are taken over; an answer counts if its version is higher and its command the same.

        Args:
            answer: The whole job, as the web portal sends it.
        """
        there = self._jobs.get(answer.id)
        if there is None:
            return Answered.UNKNOWN
        if there.is_finished or answer.version <= there.version:
            return Answered.OLD
        if answer.command != there.command:
            return Answered.DIFFERENT
        self._jobs[answer.id] = answer
        return Answered.TAKEN

    def remove(self, job_id: UUID) -> None:
        """Take a job off the board, if it is there."""
        self._jobs.pop(job_id, None)
