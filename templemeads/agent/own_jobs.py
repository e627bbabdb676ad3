"""Jobs that this agent puts itself: what `Job.put`, `Job.wait` and their like ask of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Final

from paddington import Peer

from ..errors import JobError, RefusedError
from ..jobs.job import Job
from ..links.peers import Peers
from ..logcontext import bound
from .executor import Executor
from .watch import Watch

_log = logging.getLogger("templemeads.agent")

RESTARTING: Final = "Agent is performing a soft restart - please retry"
"""The error of a job that comes during one (*operations*, section 3.1)."""


class OwnJobs:
    """Puts, watches and deletes jobs (`links.agent_peer.JobService`).

    Whatever these methods return, the store has committed.

    Args:
        name: The agent's name.
        executor: The agent's executor; set by `attach` once it exists, since that needs the peers, which need this.

    """

    _executor: Executor
    _peers: Peers

    def __init__(self, name: str) -> None:
        self._name = name

    def attach(self, executor: Executor, peers: Peers) -> None:
        """Use this executor and these peers."""
        self._executor = executor
        self._peers = peers

    def now(self) -> float:
        """Seconds since 1970 UTC on the agent's clock."""
        return self._executor.now()

    async def put_job(self, peer: Peer, job: Job) -> Job:
        """Put a job of our own (`Job.put`).

        Raises:
            RefusedError: The agent is stopping or restarting, the path does not lead to this peer, or a limit is reached.

        """
        executor = self._executor
        if executor.is_stopping:
            raise RefusedError(f"The agent {self._name!r} is stopping and accepts no more jobs")
        if executor.is_restarting:
            raise RefusedError(RESTARTING)
        handle = self._peers.handle(peer)
        put, outcome = executor.exchange.submit(job.kept_by(handle), peer, executor.now())
        put = put.kept_by(handle)
        with bound(agent=self._name, peer=peer, job=put.id):
            _log.debug("put %s to %s from %s", put, peer.name, self._name)
            executor.observers.job_put(peer, put)
            executor.carry_out(outcome)
        await executor.wait_committed()
        return put

    async def wait_job(self, peer: Peer, job: Job) -> Job:
        """Wait until a job is finished (`Job.wait`)."""
        if job.is_finished:
            return job
        with self._executor.watches.watch(peer, job.id) as watch:
            while not (current := self._current(peer, job, watch)).is_finished:
                await watch.wait()
        await self._executor.wait_committed()
        return current.kept_by(self._peers.handle(peer))

    async def job_updates(self, peer: Peer, job: Job) -> AsyncIterator[Job]:
        """Iterate over the changes of a job (`Job.updates`)."""
        handle = self._peers.handle(peer)
        last: Job | None = None
        with self._executor.watches.watch(peer, job.id) as watch:
            while True:
                current = self._current(peer, job, watch)
                if current != last:
                    await self._executor.wait_committed()
                    yield (last := current).kept_by(handle)  # noqa: ASYNC119 - a watch holds no task and no scope
                    if current.is_finished:
                        return
                else:
                    await watch.wait()

    async def update_job(self, peer: Peer, job: Job) -> Job:
        """Return a job as it is now (`Job.update`)."""
        current = self._current(peer, job)
        await self._executor.wait_committed()
        return current.kept_by(self._peers.handle(peer))

    async def delete_job(self, peer: Peer, job: Job) -> None:
        """Remove a job here and along its path (`Job.delete`)."""
        _log.debug("delete %s at %s from %s", job, peer.name, self._name)
        self._executor.carry_out(self._executor.exchange.withdraw(job, peer, self.now()))
        await self._executor.wait_committed()

    def _current(self, peer: Peer, job: Job, watch: Watch | None = None) -> Job:
        current = self._executor.exchange.find(peer, job.id)
        if current is None or (watch is not None and watch.removed):
            raise JobError("Job removed from board", kind="unknown", origin=self._name)
        return current
