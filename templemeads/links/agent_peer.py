"""A peer as an agent hands it out, and what that asks of its agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import attrs

from paddington import Peer

from ..agent_type import AgentType
from ..errors import PeerNotFoundError
from ..jobs.job import Job


class JobService(Protocol):
    """What an agent does for the jobs that are put to its peers."""

    def now(self) -> float: ...
    async def put_job(self, peer: Peer, job: Job) -> Job: ...
    async def wait_job(self, peer: Peer, job: Job) -> Job: ...
    def job_updates(self, peer: Peer, job: Job) -> AsyncIterator[Job]: ...
    async def update_job(self, peer: Peer, job: Job) -> Job: ...
    async def delete_job(self, peer: Peer, job: Job) -> None: ...


@attrs.frozen
class AgentPeer:
    """A peer as an agent hands it out: it knows its agent, so jobs can be put to it.

    Attributes:
        name: The peer's name.
        zone: The zone of the connection.
        agent_type: What it registered as, or None if it has not registered yet.
        peer: The peer as paddington names it.

    """

    name: str
    zone: str = "default"
    agent_type: AgentType | None = attrs.field(default=None, eq=False)
    _service: JobService | None = attrs.field(default=None, eq=False, repr=False, alias="service")
    peer: Peer = attrs.field(
        default=attrs.Factory(lambda made: Peer(made.name, made.zone), takes_self=True), eq=False, repr=False
    )

    @classmethod
    def of(cls, peer: Peer, agent_type: AgentType | None, service: JobService) -> AgentPeer:
        """Make the handle of a peer: the very object, since boards and tables are looked up by it all the time."""
        return cls(peer.name, peer.zone, agent_type, service, peer)

    def __str__(self) -> str:
        return f"{self.name}@{self.zone}"

    async def put(self, job: Job) -> Job:
        """Put a job to this peer; the same as ``job.put(peer)``."""
        return await self.put_job(job)

    # What a job asks of the peer that it is bound to (`jobs.job`).

    def now(self) -> float:
        """Seconds since 1970 UTC on the agent's clock."""
        return self._jobs().now()

    async def put_job(self, job: Job) -> Job:
        """Record a job on this peer's board and send it (`Job.put`)."""
        return await self._jobs().put_job(self.peer, job)

    async def wait_job(self, job: Job) -> Job:
        """Wait until the job is finished (`Job.wait`)."""
        return await self._jobs().wait_job(self.peer, job)

    def job_updates(self, job: Job) -> AsyncIterator[Job]:
        """Iterate over the job's changes (`Job.updates`)."""
        return self._jobs().job_updates(self.peer, job)

    async def update_job(self, job: Job) -> Job:
        """Return the job as it is now (`Job.update`)."""
        return await self._jobs().update_job(self.peer, job)

    async def delete_job(self, job: Job) -> None:
        """Remove the job along its path (`Job.delete`)."""
        await self._jobs().delete_job(self.peer, job)

    def _jobs(self) -> JobService:
        if self._service is None:
            raise PeerNotFoundError(
                f"{self} belongs to no agent: take it from agent.wait_for(…) or agent.get_all(…)"
            )
        return self._service
