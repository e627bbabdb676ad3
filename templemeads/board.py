"""A board: the jobs that an agent and one peer have in common.

Each side of a connection has one, and both hold the same jobs. A board is changed by merging copies of jobs into it and
by removing jobs; both can come in any order and any number of times, and boards that have seen the same end up equal:

Rule 1. Of two copies of a job the finished one wins, then the higher version, then the later change, then the greater
        canonical text. So a finished job never becomes unfinished again.
Rule 2. A removed job stays removed: its tombstone beats every copy until the job would have expired.
Rule 3. An id stands for one command. A copy with another command is refused.

Nothing here grows with the board but the board: duplicates are found through an index, and sweeping looks at a heap of
times. No clock is read; ``now`` is seconds since 1970 UTC. Source: the protocol page *jobs*, sections 2 and 4.
"""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict
from collections.abc import Iterator
from uuid import UUID

import attrs

from .errors import RefusedError
from .grammar import Destination
from .job import Job, Status
from .limits import LARGEST_VERSION, Limits

_Key = tuple[Destination, object, Destination | None]


class Change(enum.Enum):
    """What a merge did to the board's copy of a job."""

    NEW = "new"
    NEWER = "newer"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    """The job was removed earlier; the copy that came is of no use."""


@attrs.frozen
class Merged:
    """What came of adding a job to a board.

    Attributes:
        job: The job as it is on the board now (or, where it was deleted, as it came).
        change: What happened to it.
        ended: Duplicates that took over its result.

    """

    job: Job
    change: Change
    ended: tuple[Job, ...] = ()


@attrs.frozen
class Removed:
    """What came of removing a job.

    Attributes:
        job: The job as it was on the board, or None if it was not there.
        tombstone: What is kept of it, or None if that was there already.
        reinstated: A duplicate of it that is a job of its own now, and is to be sent or run.
        changed: Further duplicates, which now wait for that one.
        forgotten: Ids of older tombstones that had to make room.

    """

    job: Job | None
    tombstone: Job | None
    reinstated: Job | None = None
    changed: tuple[Job, ...] = ()
    forgotten: tuple[UUID, ...] = ()


@attrs.frozen
class Swept:
    """What a sweep found due.

    Attributes:
        expired: Jobs that ran out of time and are errors now, their duplicates included.
        forgotten: Ids of finished jobs and of tombstones that have left the board.

    """

    expired: tuple[Job, ...] = ()
    forgotten: tuple[UUID, ...] = ()


def winner(one: Job, other: Job) -> Job:
    """Return which of two copies of a job counts (rule 1)."""
    first = (one.is_finished, one.version, one.changed)
    second = (other.is_finished, other.version, other.changed)
    if first != second:
        return one if first > second else other
    return one if one == other or one.canonical() >= other.canonical() else other


def size_of(job: Job) -> int:
    """Return how many characters of foreign text a job holds on to."""
    size = len(job.command) + len(job.result_text or "")
    if job.error is not None:
        size += len(job.error.message)
    return size if job.forwarded_for is None else size + len(str(job.forwarded_for))


@attrs.define(eq=False)
class Board:
    """The jobs in common with one peer."""

    limits: Limits = attrs.field(factory=Limits)
    _jobs: dict[UUID, Job] = attrs.field(factory=dict, init=False)
    _tombstones: OrderedDict[UUID, Job] = attrs.field(factory=OrderedDict, init=False)
    _deadlines: dict[UUID, float] = attrs.field(factory=dict, init=False)
    _pending: dict[_Key, UUID] = attrs.field(factory=dict, init=False)
    _waiting: dict[UUID, dict[UUID, None]] = attrs.field(factory=dict, init=False)
    _due: list[tuple[float, UUID]] = attrs.field(factory=list, init=False)
    _sizes: dict[UUID, int] = attrs.field(factory=dict, init=False)
    _characters: int = attrs.field(default=0, init=False)
    _unfinished: int = attrs.field(default=0, init=False)

    # -- looking ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._jobs

    def get(self, job_id: UUID) -> Job | None:
        """Return the job with this id, or None."""
        return self._jobs.get(job_id)

    def is_deleted(self, job_id: UUID) -> bool:
        """Whether the job was removed and is still remembered as such."""
        return job_id in self._tombstones

    @property
    def tombstones(self) -> tuple[Job, ...]:
        """Jobs that were removed and are still remembered, oldest first."""
        return tuple(self._tombstones.values())

    @property
    def unfinished(self) -> int:
        """How many jobs on the board have no end yet."""
        return self._unfinished

    @property
    def characters(self) -> int:
        """Characters of commands and results that the board holds, deleted jobs included."""
        return self._characters

    @property
    def next_due(self) -> float | None:
        """When `sweep` should be called next at the latest, or None if nothing is on the board."""
        return self._due[0][0] if self._due else None

    def is_expired(self, job: Job, now: float) -> bool:
        """Whether it is too late for this job here, the longest lifetime considered."""
        return min(self._deadlines.get(job.id, job.expires), self._deadline(job, now)) <= now

    # -- changing -----------------------------------------------------------------------------------------------

    def put(self, job: Job, now: float) -> Merged:
        """Add a job that asks to be run; one that equals another pending job becomes a duplicate of that.

        Raises:
            RefusedError: The board is full, or the id stands for another command.

        """
        if job.status is not Status.PENDING or job.id in self._jobs or job.id in self._tombstones:
            return self.merge(job, now)
        original = self._original_of(job, now)
        if original is None:
            return self.merge(job, now)
        waiting = len(self._waiting.get(original.id, ()))
        age = now - original.created
        if waiting >= self.limits.duplicates or age > self.limits.duplicate_age_seconds:
            message = (
                f"TooManyDuplicatesError{{the same instruction is pending already as job {original.id}, since "
                f"{max(0, round(age))} seconds, with {waiting} jobs waiting for its result}}"
            )
            return self.merge(job.errored(message, kind="run", now=now), now)
        return self.merge(job.duplicate_of(original.id, now=now), now)

    def merge(self, job: Job, now: float) -> Merged:
        """Add a copy of a job, or replace the one that is there by rule 1.

        Raises:
            RefusedError: The board is full, the id stands for another command, or the version is out of range.

        """
        if job.version > LARGEST_VERSION:
            raise RefusedError(f"The version {job.version} is above {LARGEST_VERSION}")
        if (grave := self._tombstones.get(job.id)) is not None:
            require_same_command(grave, job)
            return Merged(job, Change.DELETED)
        there = self._jobs.get(job.id)
        if there is None:
            if len(self._jobs) >= self.limits.board_jobs:
                raise RefusedError(f"The board is full: it holds {len(self._jobs)} jobs")
            if self._characters + size_of(job) > self.limits.board_characters:
                raise RefusedError(f"The board is full: its jobs hold {self._characters} characters")
            if not job.is_finished and self._unfinished >= self.limits.jobs_in_flight:
                raise RefusedError(
                    f"{self._unfinished} jobs are under way with this peer already, which is the limit"
                )
            self._deadlines[job.id] = self._deadline(job, now)
            change = Change.NEW
        else:
            require_same_command(there, job)
            if winner(there, job) is there:
                return Merged(there, Change.UNCHANGED)
            change = Change.NEWER
        self._store(job)
        return Merged(job, change, self._end_duplicates_of(job, now))

    def remove(self, job: Job, now: float) -> Removed:
        """Remove a job and remember that (rule 2); duplicates of it wait no longer.

        Raises:
            RefusedError: The id stands for another command.

        """
        if (grave := self._tombstones.get(job.id)) is not None:
            require_same_command(grave, job)
            return Removed(None, None)
        there = self._jobs.get(job.id)
        if there is not None:
            require_same_command(there, job)
            self._forget(there)
        forgotten = self._bury(there or job, now)
        first: Job | None = None
        changed: list[Job] = []
        for waiting_id in tuple(self._waiting.pop(job.id, ())):
            duplicate = self._jobs[waiting_id].reinstated(now=now)
            if first is None:
                first = duplicate
            else:
                duplicate = duplicate.duplicate_of(first.id, now=now)
                changed.append(duplicate)
            self._store(duplicate)
        return Removed(there, there or job, first, tuple(changed), forgotten)

    def reinstate(self, job_id: UUID, now: float) -> Merged | None:
        """Settle a duplicate that came from elsewhere and whose original is finished, or is not here.

        Returns:
            What became of it, or None if it waits for an original that is here.

        """
        job = self._jobs[job_id]
        original_id = job.original_id
        original = None if original_id is None else self._jobs.get(original_id)
        if original is None or _key(original) != _key(job) or original.status is Status.DUPLICATE:
            self._store(settled := job.reinstated(now=now))
        elif original.is_finished:
            self._store(settled := job.copy_result_of(original, now=now))
        else:
            return None
        return Merged(settled, Change.NEWER)

    def sweep(self, now: float) -> Swept:
        """Turn what has run out of time into errors, and forget what nobody needs any more."""
        expired: list[Job] = []
        forgotten: list[UUID] = []
        while self._due and self._due[0][0] <= now:
            _, job_id = heapq.heappop(self._due)
            job = self._jobs.get(job_id)
            if job is None:
                if job_id in self._tombstones:
                    del self._tombstones[job_id]
                    self._weigh(job_id, 0)
                    self._deadlines.pop(job_id, None)
                    forgotten.append(job_id)
                continue
            due = self._due_time(job)
            if due > now:
                heapq.heappush(self._due, (due, job_id))
            elif job.is_finished:
                self._forget(job)
                self._deadlines.pop(job_id, None)
                forgotten.append(job_id)
            else:
                ended = job.errored("Job expired", kind="expired", now=now)
                self._store(ended)
                expired += [ended, *self._end_duplicates_of(ended, now)]
        return Swept(tuple(expired), tuple(forgotten))

    def restore(self, job: Job, now: float, *, deleted: bool = False) -> None:
        """Take over a job, or the tombstone of one, from a store, without a look at limits."""
        self._deadlines[job.id] = self._deadline(job, now)
        if deleted:
            self._tombstones[job.id] = job
            self._weigh(job.id, size_of(job))
            heapq.heappush(self._due, (self._deadlines[job.id], job.id))
        else:
            self._store(job)

    # -- inside -------------------------------------------------------------------------------------------------

    def _store(self, job: Job) -> None:
        there = self._jobs.get(job.id)
        if there is not None:
            self._unindex(there)
        self._jobs[job.id] = job
        self._unfinished += (not job.is_finished) - (there is not None and not there.is_finished)
        self._weigh(job.id, size_of(job))
        if job.status is Status.PENDING:
            self._pending.setdefault(_key(job), job.id)
        elif (original := job.original_id) is not None:
            self._waiting.setdefault(original, {})[job.id] = None
        if there is None or job.is_finished != there.is_finished:
            heapq.heappush(self._due, (self._due_time(job), job.id))

    def _forget(self, job: Job) -> None:
        self._unindex(job)
        self._unfinished -= not job.is_finished
        self._weigh(job.id, 0)
        del self._jobs[job.id]

    def _unindex(self, job: Job) -> None:
        if job.status is Status.PENDING and self._pending.get(_key(job)) == job.id:
            del self._pending[_key(job)]
        elif (original := job.original_id) is not None and original in self._waiting:
            self._waiting[original].pop(job.id, None)
            if not self._waiting[original]:
                del self._waiting[original]

    def _bury(self, job: Job, now: float) -> tuple[UUID, ...]:
        self._tombstones[job.id] = job
        self._weigh(job.id, size_of(job))
        deadline = self._deadlines.setdefault(job.id, self._deadline(job, now))
        heapq.heappush(self._due, (deadline, job.id))
        forgotten = []
        while self._tombstones and (
            len(self._tombstones) > self.limits.tombstones or self._characters > self.limits.board_characters
        ):
            oldest, _ = self._tombstones.popitem(last=False)
            self._weigh(oldest, 0)
            self._deadlines.pop(oldest, None)
            forgotten.append(oldest)
        return tuple(forgotten)

    def _weigh(self, job_id: UUID, size: int) -> None:
        self._characters += size - self._sizes.pop(job_id, 0)
        if size:
            self._sizes[job_id] = size

    def _original_of(self, job: Job, now: float) -> Job | None:
        original_id = self._pending.get(_key(job))
        if original_id is None:
            return None
        original = self._jobs[original_id]
        return None if self._deadlines[original_id] <= now else original

    def _end_duplicates_of(self, job: Job, now: float) -> tuple[Job, ...]:
        if not job.is_finished:
            return ()
        ended = []
        for waiting_id in tuple(self._waiting.get(job.id, ())):
            duplicate = self._jobs[waiting_id]
            if _key(duplicate) == _key(job):
                self._store(finished := duplicate.copy_result_of(job, now=now))
                ended.append(finished)
        return tuple(ended)

    def _deadline(self, job: Job, now: float) -> float:
        longest = self.limits.lifetime_seconds
        return min(job.expires, job.created + longest, now + longest)

    def _due_time(self, job: Job) -> float:
        deadline = self._deadlines[job.id]
        return deadline + self.limits.finished_seconds if job.is_finished else deadline


def _key(job: Job) -> _Key:
    # Only jobs of the whole same path are duplicates: a stranger's job must not take over this one's result.
    return job.destination, job.instruction, job.forwarded_for


def require_same_command(there: Job, came: Job) -> None:
    """Hold a copy of a job to rule 3.

    Raises:
        RefusedError: It has another command.

    """
    if (there.destination, there.instruction) != (came.destination, came.instruction):
        raise RefusedError(f"The id {came.id} stands for another command already")
