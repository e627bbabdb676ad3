"""A board: the jobs that an agent and one peer have in common.

Each side of a connection has one, and both hold the same jobs. A board is changed by merging copies of jobs into it and
by removing jobs; both can come in any order and any number of times, and boards that have seen the same end up equal:

Rule 1. Of two copies of a job the finished one wins, then the higher version, then the later change, then the greater
        canonical text. So a finished job never becomes unfinished again.
Rule 2. A removed job stays removed: its tombstone beats every copy until the job would have expired.
Rule 3. An id stands for one command. A copy with another command is refused.

All that is held is bounded by the jobs and tombstones that are held. Duplicates are found through an index, and sweeping
looks at a heap of deadlines. Inside, a job is known by the number that its id is (`uuid.UUID.int`), and a command by its
canonical text: Python hashes and compares these at once, but a UUID or a grammar value step by step. No clock is read;
``now`` is the system's time in seconds since 1970 UTC. Source: the protocol page *jobs*, sections 2 and 4.
"""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import attrs

from ..errors import RefusedError
from ..grammar import Destination
from ..limits import LARGEST_VERSION, Limits
from ..values import hot_value
from .job import Job, Status
from .room import Room

_Key = str | tuple[str, Destination]

EXPIRED: Final = "Job expired"
"""The message of a job that has run out of time."""

SPARE_DEADLINES: Final = 8
"""Entries of jobs that are gone that the heap of a small board may hold."""


@attrs.define(eq=False)
class ClockSteps:
    """How far the system's clock has been set since the process started, for all boards of an agent.

    Lifetimes are measured without these steps: the deadline of a job on a board does not move when somebody sets the clock.

    Attributes:
        seconds: The sum of the steps; above 0 if the clock has been set forward.

    """

    seconds: float = 0.0


class Change(enum.Enum):
    """What a merge did to the board's copy of a job."""

    NEW = "new"
    NEWER = "newer"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    """The job was removed earlier; the copy that came is of no use."""


@attrs.frozen
class Released:
    """Duplicates whose original is gone without a result that they could take over.

    Attributes:
        first: The one that is now a job of its own, and is to be sent or run, or None.
        others: The others, which now wait for that one.

    """

    first: Job | None = None
    others: tuple[Job, ...] = ()


NOTHING_RELEASED: Final = Released()


@hot_value
class Merged:
    """What came of adding a job to a board.

    Attributes:
        job: The job as it is on the board now (or, where it was deleted, as it came).
        change: What happened to it.
        ended: Duplicates that took over its result.
        released: Duplicates of it that wait for it no longer.

    """

    job: Job
    change: Change
    ended: tuple[Job, ...] = ()
    released: Released = NOTHING_RELEASED


@attrs.frozen
class Removed:
    """What came of removing a job.

    Attributes:
        job: The job as it was on the board, or None if it was not there.
        tombstone: What is kept of it, or None if that was there already.
        released: Duplicates of it that wait for it no longer.
        forgotten: Ids of older tombstones that had to make room.

    """

    job: Job | None
    tombstone: Job | None
    released: Released = NOTHING_RELEASED
    forgotten: tuple[UUID, ...] = ()


@attrs.frozen
class Swept:
    """What a sweep found due.

    Attributes:
        expired: Jobs that ran out of time and are errors now.
        released: Duplicates of those that have time left.
        forgotten: Ids of finished jobs and of tombstones that have left the board.

    """

    expired: tuple[Job, ...] = ()
    released: tuple[Released, ...] = ()
    forgotten: tuple[UUID, ...] = ()


def winner(one: Job, other: Job) -> Job:
    """Return which of two copies of a job counts (rule 1)."""
    if (finished := one.is_finished) is not other.is_finished:
        return one if finished else other
    if one.version != other.version:
        return one if one.version > other.version else other
    if one.changed != other.changed:
        return one if one.changed > other.changed else other
    return one if one == other or one.canonical() >= other.canonical() else other


def size_of(job: Job) -> int:
    """Return how many characters of foreign text a job holds on to."""
    return len(job.command) + _size_beside_command(job)


def _size_beside_command(job: Job) -> int:
    size = 0 if job.result_text is None else len(job.result_text)
    if job.error is not None:
        size += len(job.error.message)
    return size if job.forwarded_for is None else size + len(str(job.forwarded_for))


@attrs.define(eq=False)
class Board:
    """The jobs in common with one peer."""

    limits: Limits = attrs.field(factory=Limits)
    clock: ClockSteps = attrs.field(factory=ClockSteps)
    _jobs: dict[int, Job] = attrs.field(factory=dict, init=False)
    _tombstones: OrderedDict[int, Job] = attrs.field(factory=OrderedDict, init=False)
    # Deadlines that differ from the job's own expiry: shortened here, or set before a copy with another expiry came, or
    # before somebody set the clock. They and the heap count without the clock's steps.
    _deadlines: dict[int, float] = attrs.field(factory=dict, init=False)
    _pending: dict[_Key, int] = attrs.field(factory=dict, init=False)
    _waiting: dict[int, dict[int, None]] = attrs.field(factory=dict, init=False)
    _due: list[tuple[float, int]] = attrs.field(factory=list, init=False)
    _room: Room = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._room = Room(self.limits)

    # -- looking ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def __contains__(self, job_id: UUID) -> bool:
        return job_id.int in self._jobs

    def get(self, job_id: UUID) -> Job | None:
        """Return the job with this id, or None."""
        return self._jobs.get(job_id.int)

    def numbered(self, number: int) -> Job | None:
        """Return the job whose id is this number, or None."""
        return self._jobs.get(number)

    def is_deleted(self, job_id: UUID) -> bool:
        """Whether the job was removed and is still remembered as such."""
        return job_id.int in self._tombstones

    @property
    def tombstones(self) -> tuple[Job, ...]:
        """Jobs that were removed and are still remembered, oldest first."""
        return tuple(self._tombstones.values())

    @property
    def unfinished(self) -> int:
        """How many jobs on the board are not finished."""
        return self._room.unfinished

    @property
    def characters(self) -> int:
        """Characters of commands and results that the board holds, deleted jobs included."""
        return self._room.characters

    @property
    def next_due(self) -> float | None:
        """When `sweep` should be called next at the latest, or None if nothing is on the board."""
        return self._due[0][0] + self.clock.seconds if self._due else None

    def is_expired(self, job: Job, now: float) -> bool:
        """Whether it is too late for this job here.

        A job that is on the board has the deadline that it got when it came, whatever the clock has been set to since.
        """
        number = job.id.int
        there = self._jobs.get(number) or self._tombstones.get(number)
        if there is None:
            return job.expires <= now or job.created + self.limits.lifetime_seconds <= now
        return self._deadline_of(there) <= now - self.clock.seconds

    # -- changing -----------------------------------------------------------------------------------------------

    def put(self, job: Job, now: float) -> Merged:
        """Add a job that asks to be run; one that equals another pending job becomes a duplicate of that.

        Raises:
            RefusedError: The board is full, or the id stands for another command.

        """
        number = job.id.int
        if job.status is not Status.PENDING or number in self._jobs or number in self._tombstones:
            return self.merge(job, now)
        original = self._original_of(job, now)
        if original is None:
            _require_version(job)
            return self._add(job, now)
        waiting = len(self._waiting.get(original.id.int, ()))
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
        _require_version(job)
        number = job.id.int
        if self._tombstones and (grave := self._tombstones.get(number)) is not None:
            require_same_command(grave, job)
            return Merged(job, Change.DELETED)
        there = self._jobs.get(number)
        if there is None:
            return self._add(job, now)
        require_same_command(there, job)
        if winner(there, job) is there:
            return Merged(there, Change.UNCHANGED)
        self._replace(there, job)
        return self._merged(job, Change.NEWER, now)

    def remove(self, job: Job, now: float) -> Removed:
        """Remove a job and remember that (rule 2); duplicates of it wait no longer.

        Raises:
            RefusedError: The id stands for another command.

        """
        number = job.id.int
        if (grave := self._tombstones.get(number)) is not None:
            require_same_command(grave, job)
            return Removed(None, None)
        there = self._jobs.get(number)
        if there is None:
            deadline = self._deadline(job, now)
        else:
            require_same_command(there, job)
            deadline = self._deadline_of(there)
            self._forget(there)
        forgotten = self._bury(there or job, deadline)
        waiting = tuple(self._waiting.pop(number, ()))
        return Removed(there, there or job, self._release(waiting, now), forgotten)

    def reinstate(self, job_id: UUID, now: float) -> Merged | None:
        """Settle a duplicate that came from elsewhere and whose original is finished, or is not here.

        Returns:
            What became of it, or None if it waits for an original that is here.

        """
        job = self._jobs[job_id.int]
        original_id = job.original_id
        original = None if original_id is None else self._jobs.get(original_id.int)
        if original is None or _key(original) != _key(job) or original.status is Status.DUPLICATE:
            settled = job.reinstated(now=now)
        elif not original.is_finished:
            return None
        elif _has_expired(original):
            settled = job.reinstated(now=now)
        else:
            settled = job.copy_result_of(original, now=now)
        self._replace(job, settled)
        return Merged(settled, Change.NEWER)

    def sweep(self, now: float) -> Swept:
        """Turn what has run out of time into errors, and forget what nobody needs any more."""
        expired: list[Job] = []
        released: list[Released] = []
        forgotten: list[UUID] = []
        steady = now - self.clock.seconds
        while self._due and self._due[0][0] <= steady:
            _, number = heapq.heappop(self._due)
            job = self._jobs.get(number)
            if job is None:
                grave = self._tombstones.get(number)
                if grave is not None and self._deadline_of(grave) <= steady:
                    del self._tombstones[number]
                    self._room.forget_deleted(size_of(grave))
                    self._deadlines.pop(number, None)
                    forgotten.append(grave.id)
                continue
            due = self._deadline_of(job) + (self.limits.finished_seconds if job.is_finished else 0)
            if due > steady:
                # It has finished since: the heap holds the time by which it had to.
                heapq.heappush(self._due, (due, number))
            elif job.is_finished:
                self._forget(job)
                self._deadlines.pop(number, None)
                forgotten.append(job.id)
            else:
                ended = job.errored(EXPIRED, kind="expired", now=now)
                self._replace(job, ended)
                heapq.heappush(self._due, (due + self.limits.finished_seconds, number))
                expired.append(ended)
                merged = self._merged(ended, Change.NEWER, now)
                expired += merged.ended
                if merged.released is not NOTHING_RELEASED:
                    released.append(merged.released)
        self._trim_due()
        return Swept(tuple(expired), tuple(released), tuple(forgotten))

    def restore(self, job: Job, now: float, *, deleted: bool = False) -> None:
        """Take over a job, or the tombstone of one, from a store, without a look at limits."""
        deadline = self._deadline(job, now)
        if deleted:
            self._entomb(job, deadline)
        else:
            self._enter(job, deadline, size_of(job))

    # -- inside -------------------------------------------------------------------------------------------------

    def _add(self, job: Job, now: float) -> Merged:
        size = size_of(job)
        self._room.require(job.destination.agents[0], len(self._jobs), size, job.is_finished)
        self._enter(job, self._deadline(job, now), size)
        return self._merged(job, Change.NEW, now)

    def _enter(self, job: Job, deadline: float, size: int) -> None:
        number = job.id.int
        self._jobs[number] = job
        finished = job.is_finished
        self._room.add(job.destination.agents[0], size, finished)
        self._set_deadline(job, deadline)
        self._index(job, number)
        self._push_due(deadline + self.limits.finished_seconds if finished else deadline, number)

    def _replace(self, there: Job, job: Job) -> None:
        number = job.id.int
        self._unindex(there, number)
        self._jobs[number] = job
        # By rule 3 the command is the same.
        grown = _size_beside_command(job) - _size_beside_command(there)
        self._room.change(job.destination.agents[0], grown, job.is_finished and not there.is_finished)
        if job.expires != there.expires:
            self._set_deadline(job, self._deadline_of(there))
        self._index(job, number)

    def _forget(self, job: Job) -> None:
        number = job.id.int
        self._unindex(job, number)
        self._room.remove(job.destination.agents[0], size_of(job), job.is_finished)
        del self._jobs[number]

    def _index(self, job: Job, number: int) -> None:
        status = job.status
        if status is Status.PENDING:
            self._pending.setdefault(_key(job), number)
        elif status is Status.DUPLICATE and (original := job.original_id) is not None:
            self._waiting.setdefault(original.int, {})[number] = None

    def _unindex(self, job: Job, number: int) -> None:
        status = job.status
        if status is Status.PENDING:
            if self._pending.get(key := _key(job)) == number:
                del self._pending[key]
        elif (
            status is Status.DUPLICATE
            and (original := job.original_id) is not None
            and (waiting := self._waiting.get(original.int)) is not None
        ):
            waiting.pop(number, None)
            if not waiting:
                del self._waiting[original.int]

    def _entomb(self, job: Job, deadline: float) -> None:
        self._tombstones[job.id.int] = job
        self._room.add_deleted(size_of(job))
        self._set_deadline(job, deadline)
        self._push_due(deadline, job.id.int)

    def _bury(self, job: Job, deadline: float) -> tuple[UUID, ...]:
        self._entomb(job, deadline)
        forgotten = []
        while self._tombstones and (
            len(self._tombstones) > self.limits.tombstones or self.characters > self.limits.board_characters
        ):
            number, oldest = self._tombstones.popitem(last=False)
            self._room.forget_deleted(size_of(oldest))
            self._deadlines.pop(number, None)
            forgotten.append(oldest.id)
        if forgotten:
            self._trim_due()
        return tuple(forgotten)

    def _original_of(self, job: Job, now: float) -> Job | None:
        number = self._pending.get(_key(job))
        if number is None:
            return None
        original = self._jobs[number]
        return None if self._deadline_of(original) <= now - self.clock.seconds else original

    def _merged(self, job: Job, change: Change, now: float) -> Merged:
        """Return the change of a job, with what it means for its duplicates."""
        if not self._waiting or not job.is_finished:
            return Merged(job, change)
        waiting = [
            number for number in self._waiting.get(job.id.int, ()) if _key(self._jobs[number]) == _key(job)
        ]
        if _has_expired(job):
            # That the original has run out of time says nothing of those that came later.
            steady = now - self.clock.seconds
            released: list[int] = []
            ended: list[int] = []
            for number in waiting:
                in_time = self._deadline_of(self._jobs[number]) > steady
                (released if in_time else ended).append(number)
        else:
            released, ended = [], waiting
        finished = []
        for number in ended:
            duplicate = self._jobs[number]
            copy = duplicate.copy_result_of(job, now=now)
            self._replace(duplicate, copy)
            finished.append(copy)
        return Merged(job, change, tuple(finished), self._release(released, now))

    def _release(self, waiting: Sequence[int], now: float) -> Released:
        """Make a job of its own of the first duplicate, and let the others wait for that one."""
        if not waiting:
            return NOTHING_RELEASED
        first: Job | None = None
        others = []
        for number in waiting:
            duplicate = self._jobs[number]
            changed = duplicate.reinstated(now=now)
            if first is None:
                first = changed
            else:
                changed = changed.duplicate_of(first.id, now=now)
                others.append(changed)
            self._replace(duplicate, changed)
        return Released(first, tuple(others))

    def _push_due(self, due: float, number: int) -> None:
        heapq.heappush(self._due, (due, number))
        self._trim_due()

    def _trim_due(self) -> None:
        """Drop the deadlines of jobs that are no longer remembered, when there are more of them than of the others."""
        if len(self._due) > 2 * (len(self._jobs) + len(self._tombstones)) + SPARE_DEADLINES:
            self._rebuild_due()

    def _rebuild_due(self) -> None:
        """Drop the times of jobs that are gone; done so seldom that it costs each new job a constant."""
        finished_seconds = self.limits.finished_seconds
        self._due = [
            (self._deadline_of(job) + (finished_seconds if job.is_finished else 0), number)
            for number, job in self._jobs.items()
        ]
        self._due += [(self._deadline_of(grave), number) for number, grave in self._tombstones.items()]
        heapq.heapify(self._due)

    def _deadline(self, job: Job, now: float) -> float:
        longest = self.limits.lifetime_seconds
        return min(job.expires, job.created + longest, now + longest) - self.clock.seconds

    def _deadline_of(self, job: Job) -> float:
        return self._deadlines.get(job.id.int, job.expires)

    def _set_deadline(self, job: Job, deadline: float) -> None:
        if deadline != job.expires:
            self._deadlines[job.id.int] = deadline
        else:
            self._deadlines.pop(job.id.int, None)


def _key(job: Job) -> _Key:
    # Only jobs of the whole same path are duplicates: a stranger's job must not take over this one's result.
    return job.command if job.forwarded_for is None else (job.command, job.forwarded_for)


def _has_expired(job: Job) -> bool:
    info = job.error_info
    return info is not None and info.kind == "expired"


def _require_version(job: Job) -> None:
    if job.version > LARGEST_VERSION:
        raise RefusedError(f"The version {job.version} is above {LARGEST_VERSION}")


def require_same_command(there: Job, came: Job) -> None:
    """Hold a copy of a job to rule 3.

    Raises:
        RefusedError: It has another command.

    """
    if there.command != came.command:
        raise RefusedError(f"The id {came.id} stands for another command already")
