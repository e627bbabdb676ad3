"""Looking into the store of a stopped agent, removing a job from it, and moving it to another engine.

Everything here works row by row, so that one damaged row hides no other. The calls block: use them without a running agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from ..errors import StoreError
from ..jobs.job import Job
from .group_commit import Engine
from .rows import Batch, JobRow, Key, StartRow, describe, job_id_of, raw_key, read_job, read_starts

MAX_ROWS_PER_COMMIT: Final = 1000


@attrs.frozen
class Entry:
    """One row of a store.

    Attributes:
        id: The job's id; of a damaged row, whatever is there.
        peer: The peer on whose board it is, as `name@zone`.
        job: The job, or None if the row is damaged.
        deleted: Whether the row only remembers that the job was deleted.
        starts: How many times its handler was called without an end.
        problem: What is wrong with the row, or None.
    """

    id: str
    peer: str
    job: Job | None
    deleted: bool
    starts: int
    problem: str | None


def entries(engine: Engine) -> Iterator[Entry]:
    """Return all that a store holds, oldest first; damaged rows come last."""
    starts = read_starts(engine.start_rows())
    damaged = []
    jobs = []
    for row in engine.job_rows():
        job_id, peer = job_id_of(row), describe(row).partition(" on the board of ")[2]
        try:
            write = read_job(row)
        except ValueError as error:
            damaged.append(Entry(job_id, peer, None, False, 0, str(error)))
        else:
            key: Key = (write.peer.name, write.peer.zone, write.job.id.bytes)
            jobs.append(Entry(job_id, peer, write.job, write.deleted, starts.get(key, 0), None))
    yield from sorted(jobs, key=_age)
    yield from damaged


def _age(entry: Entry) -> int:
    return 0 if entry.job is None else entry.job.created


def drop(engine: Engine, job_id: str, peer: str | None = None) -> list[str]:
    """Remove a job, damaged or not, with its count of handler starts.

    Args:
        engine: The store.
        job_id: The id, or its beginning, as `Entry.id` has it.
        peer: Only from the board of this peer (`name@zone`); None stands for every board.

    Returns:
        What was removed, in words.

    Raises:
        StoreError: There is no such job, or several begin so, or the store cannot be written.
    """
    wanted = job_id.lower()
    rows = [row for row in engine.job_rows() if job_id_of(row).startswith(wanted)] if wanted else []
    if peer is not None:
        rows = [row for row in rows if describe(row).endswith(f" on the board of {peer}")]
    if not rows:
        raise StoreError(f"{engine.title} has no job {job_id!r}{'' if peer is None else f' with {peer}'}")
    if len({job_id_of(row) for row in rows}) > 1:
        raise StoreError(f"{len(rows)} jobs in {engine.title} begin with {job_id!r}: write more of the id")
    keys = [raw_key(row) for row in rows]
    engine.commit(Batch(engine.number + 1, erased=keys, cleared=keys))
    return [describe(row) for row in rows]


def copy(source: Engine, target: Engine) -> int:
    """Copy all jobs and counts of handler starts to a store that holds none.

    Returns:
        The number of jobs.

    Raises:
        StoreError: A row of the source is damaged, the target holds jobs already, or cannot be written.
    """
    jobs: Sequence[JobRow] = source.job_rows()
    starts: Sequence[StartRow] = source.start_rows()
    for row in jobs:
        try:
            read_job(row)
        except ValueError as error:
            raise StoreError(
                f"{source.title} holds a job that cannot be read, {describe(row)}: {error}. Nothing was copied; "
                f"remove it with 'store drop'"
            ) from error
    if target.job_rows():
        raise StoreError(f"{target.title} holds jobs already: copy to an empty one")
    number = target.number
    for first in range(0, max(len(jobs), len(starts)), MAX_ROWS_PER_COMMIT):
        number += 1
        end = first + MAX_ROWS_PER_COMMIT
        target.commit(Batch(number, jobs=jobs[first:end], starts=starts[first:end]))
    found = {raw_key(row): row for row in target.job_rows()}
    if found != {raw_key(row): row for row in jobs}:
        raise StoreError(f"{target.title} does not hold what was copied: do not use it")
    return len(jobs)


def exported(entry: Entry) -> dict[str, object]:
    """Return an entry as JSON values."""
    return {
        "id": entry.id,
        "peer": entry.peer,
        "deleted": entry.deleted,
        "starts": entry.starts,
        "problem": entry.problem,
        "job": None if entry.job is None else entry.job.to_json(),
    }
