"""Hypothesis strategies for jobs, envelopes, and whole histories of what peers say to each other about jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from hypothesis import strategies as st

from ..agent.envelope import Envelope
from ..jobs.commands import Delete, Put, Sync, Update
from ..jobs.error_info import ErrorInfo
from ..jobs.job import Job, Status
from . import strategies as values
from ._instructions import commands, results_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..grammar import Command, Instruction

NOW = 1_800_000_000
"""Unix time of the first steps of the jobs that are drawn."""

Told = Put | Update | Delete | Sync
"""What a peer says about jobs."""

_MAX_PAUSE_SECONDS = 3  # seconds; short, because steps within one second are the interesting ones


def jobs(
    *,
    states: Collection[Status] = tuple(Status),
    only: Collection[type[Instruction] | str] | None = None,
) -> st.SearchStrategy[Job]:
    """Jobs that got where they are by legal steps.

    Args:
        states: Where they may stand.
        only: Classes or keywords of the instructions that they may carry; all if left out.
    """
    lives = st.tuples(commands(only=only), st.uuids(version=4), st.sampled_from(sorted(states, key=_order)))
    return lives.flatmap(lambda life: _steps(*life)).map(lambda steps: steps[-1])


def envelopes(*, only: Collection[type[Instruction] | str] | None = None) -> st.SearchStrategy[Envelope]:
    """Jobs as they arrive at the last agent of their path.

    Args:
        only: Classes or keywords of the instructions that they may carry; all if left out.
    """

    def envelope(job: Job) -> Envelope:
        *_, sender, recipient = job.destination.agents
        return Envelope(job=job, sender=sender, recipient=recipient)

    return jobs(states=[Status.PENDING], only=only).map(envelope)


def histories(*, most_jobs: int = 3, most_commands: int = 12) -> st.SearchStrategy[list[Told]]:
    """What a peer may say about a few jobs over time: late, twice, out of order, but each copy of a job a
    legal one.

    Two boards that are told the same, in whatever order and however often, must end up equal.

    Args:
        most_jobs: How many jobs at most.
        most_commands: How many commands at most.
    """
    life = st.tuples(
        commands(only=("add_user", "remove_user", "get_users")),
        st.uuids(version=4),
        st.sampled_from([Status.RUNNING, Status.COMPLETE, Status.ERROR]),
    )
    lives = st.lists(life.flatmap(lambda each: _steps(*each)), min_size=1, max_size=most_jobs)
    return lives.flatmap(lambda jobs: st.lists(_told(jobs), max_size=most_commands))


def _told(lives: list[list[Job]]) -> st.SearchStrategy[Told]:
    copies = [job for life in lives for job in life if job.status is not Status.CREATED]
    unfinished = [job for job in copies if not job.is_finished]
    return st.one_of(
        st.sampled_from(unfinished).map(Put),
        st.sampled_from([job for job in copies if job.status is not Status.PENDING] or copies).map(Update),
        st.sampled_from(copies).map(Delete),
        st.lists(st.sampled_from(copies), max_size=3, unique_by=lambda job: job.id).map(tuple).map(Sync),
    )


def _order(state: Status) -> int:
    return list(Status).index(state)


@st.composite
def _steps(draw: st.DrawFn, command: Command, identity: Any, last: Status) -> list[Job]:
    """Every copy of one job, from its making to the state named."""
    now = NOW

    def later() -> int:
        nonlocal now
        now += draw(st.integers(0, _MAX_PAUSE_SECONDS))
        return now

    lifetime = draw(st.integers(1, 600))
    job = Job.create(command.destination, command.instruction, lifetime=lifetime, now=now)
    steps = [attrs.evolve(job, id=identity)]
    if last is Status.CREATED:
        return steps
    steps.append(steps[-1].pending(later()))
    if last is Status.DUPLICATE:
        return [*steps, steps[-1].duplicate_of(draw(st.uuids(version=4)), now=later())]
    reports = draw(st.integers(1 if last is Status.RUNNING else 0, 2)) if last is not Status.PENDING else 0
    for _ in range(reports):
        steps.append(steps[-1].running(draw(st.none() | values.texts()), now=later()))
    if last is Status.COMPLETE:
        steps.append(steps[-1].completed(draw(results_of(command.instruction)), now=later()))
    if last is Status.ERROR:
        message = draw(values.texts(min_size=1))
        error = draw(
            st.none()
            | st.builds(ErrorInfo, st.sampled_from(["run", "expired", "award_pending"]), st.just(message))
        )
        failed = steps[-1].errored(message, now=later())
        steps.append(attrs.evolve(failed, error=error))
    return steps
