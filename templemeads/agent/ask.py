"""Asking other agents: a job of our own, put and waited for.

When a handler asks, its own job is the *asking job*. It bounds what is asked: the new job expires no later than the asking
job, and is deleted when the handler is cancelled. The runner binds the asking job with a context variable, which the tasks
and threads that a handler starts inherit.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from ..errors import JobError, PeerNotFoundError, RefusedError
from ..jobs.job import DEFAULT_LIFETIME, Job
from ..text import printable

if TYPE_CHECKING:
    from types import TracebackType

    from ..links.agent_peer import AgentPeer
    from .agent import Agent

_log = logging.getLogger("templemeads.agent")

MAX_DELETE_SECONDS: Final = 1.0
"""How long a cancelled question waits until the store has committed the deletion of its job. It is sent in any case."""


class asking:  # noqa: N801 - used like the functions of contextlib; a class, since each job is bound once
    """Bind the asking job inside a ``with`` block and in the tasks that start there.

    Args:
        job: The job whose handler runs.
        zone: The zone in which the job came.

    """

    __slots__ = ("_before", "job", "over", "zone")

    def __init__(self, job: Job, zone: str) -> None:
        self.job = job
        self.zone = zone
        self.over = False
        self._before: asking | None = None

    def __enter__(self) -> None:
        self._before = _asking.get()
        _asking.set(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A background task that a handler started in a longer-lived nursery asks on its own account from here on.
        self.over = True
        _asking.set(self._before)


_asking: Final[ContextVar[asking | None]] = ContextVar("templemeads_asking_job", default=None)


async def ask(
    agent: Agent,
    command: str,
    *,
    zone: str | None = None,
    lifetime: float | None = None,
    expected: type[Any] | None = None,
) -> Any:
    """Put a job, wait for it and return its value (`Agent.ask`)."""
    bound = _asking.get()
    if bound is not None and bound.over:
        bound = None
    now = agent.now()
    job = Job.parse(command, lifetime=DEFAULT_LIFETIME if lifetime is None else lifetime, now=now)
    if bound is not None:
        job = _within(job, bound.job, now, agent.name, whole=lifetime is None)
    peer = _next_hop(agent, job, zone, None if bound is None else bound.zone)
    try:
        job = await (await peer.put_job(job)).wait()
    except RefusedError as error:
        raise JobError(str(error), kind="unroutable", origin=agent.name) from error
    except trio.Cancelled:
        await _withdraw(peer, job)  # noqa: ASYNC102 - it is shielded and has a deadline of its own
        raise
    if expected is None or job.error is not None:
        return job.result()
    try:
        return job.result(expected)
    except JobError as error:
        _log.error("%s (job %s)", error, job.id)
        raise JobError(str(error), kind=error.kind, origin=agent.name) from None


def _within(job: Job, asking_job: Job, now: float, name: str, *, whole: bool) -> Job:
    if asking_job.is_expired(now):
        raise JobError(
            f"The job that asks has expired, so {{{job.command[:200]}}} is not put",
            kind="expired",
            origin=name,
        )
    expires = asking_job.expires if whole else min(job.expires, asking_job.expires)
    return attrs.evolve(job, expires=expires)


def _next_hop(agent: Agent, job: Job, zone: str | None, asking_zone: str | None) -> AgentPeer:
    agents = job.destination.agents
    if agents[0] != agent.name:
        raise JobError(
            f"The path {printable(str(job.destination), 200)!a} does not begin with this agent, {agent.name!r}",
            kind="unroutable",
            origin=agent.name,
        )
    # The zone of the asking job comes first; a peer in another zone is taken if it is the only one of its name.
    zones = [zone] if zone is not None or asking_zone is None else [asking_zone, None]
    for number, tried in enumerate(zones, 1):
        try:
            return agent.peer(agents[1], tried)
        except PeerNotFoundError as error:
            if number == len(zones):
                raise JobError(
                    f"{agent.name!r} has no single peer {printable(agents[1], 100)!a} to ask",
                    kind="unroutable",
                    origin=agent.name,
                ) from error
    raise AssertionError("there is always one zone to try")


async def _withdraw(peer: AgentPeer, job: Job) -> None:
    with trio.CancelScope(shield=True), trio.move_on_after(MAX_DELETE_SECONDS):
        await peer.delete_job(job)
