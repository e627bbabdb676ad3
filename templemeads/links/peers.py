"""The peers of an agent: who is configured, who has registered as what, who is connected."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from paddington import Peer

from ..agent_type import AgentType
from ..errors import AgentStoppedError, PeerNotFoundError, PeerRefusedError
from ..jobs.commands import Register
from ..jobs.job import Job

if TYPE_CHECKING:
    from .link import Link  # noqa: TC004 - nothing reads this annotation at run time, and links need peers


class Desk(Protocol):
    """What an agent does for the handles of its peers."""

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
        agent_type: What it registered as, or None if it has not been seen yet.
        peer: The peer as paddington names it.

    """

    name: str
    zone: str = "default"
    agent_type: AgentType | None = attrs.field(default=None, eq=False)
    _desk: Desk | None = attrs.field(default=None, eq=False, repr=False, alias="desk")
    peer: Peer = attrs.field(
        default=attrs.Factory(lambda made: Peer(made.name, made.zone), takes_self=True), eq=False, repr=False
    )

    @classmethod
    def of(cls, peer: Peer, agent_type: AgentType | None, desk: Desk) -> AgentPeer:
        """Make the handle of a peer: the very object, since boards and tables are looked up by it all the time."""
        return cls(peer.name, peer.zone, agent_type, desk, peer)

    def __str__(self) -> str:
        return f"{self.name}@{self.zone}"

    async def put(self, job: Job) -> Job:
        """Put a job to this peer; the same as ``job.put(peer)``."""
        return await self.put_job(job)

    # What jobs ask of whoever holds them (`job.JobKeeper`, `job.JobTaker`).

    def now(self) -> float:
        """Seconds since 1970 UTC on the agent's clock."""
        return self._agent().now()

    async def put_job(self, job: Job) -> Job:
        """Record a job on this peer's board and send it (`Job.put`)."""
        return await self._agent().put_job(self.peer, job)

    async def wait_job(self, job: Job) -> Job:
        """Wait until the job is finished (`Job.wait`)."""
        return await self._agent().wait_job(self.peer, job)

    def job_updates(self, job: Job) -> AsyncIterator[Job]:
        """Iterate over the job's changes (`Job.updates`)."""
        return self._agent().job_updates(self.peer, job)

    async def update_job(self, job: Job) -> Job:
        """Return the job as it is now (`Job.update`)."""
        return await self._agent().update_job(self.peer, job)

    async def delete_job(self, job: Job) -> None:
        """Remove the job along its path (`Job.delete`)."""
        await self._agent().delete_job(self.peer, job)

    def _agent(self) -> Desk:
        if self._desk is None:
            raise PeerNotFoundError(
                f"{self} belongs to no agent: take it from agent.wait_for(…) or agent.get_all(…)"
            )
        return self._desk


@attrs.define(eq=False)
class Known:
    """What is known of one configured peer.

    Attributes:
        peer: Who it is.
        declared: The type that the configuration says it has, or None.
        register: What it registered as, kept when it goes away; None if it never did.
        link: The connection to it, while there is one.
        since: When that began, in seconds on trio's clock.
        connections: How many there have been.
        refusals: How many times in a row it has hung up on our handshake.
        failure: Why the last try to reach it failed, in one sentence.

    """

    peer: Peer
    declared: AgentType | None = None
    register: Register | None = None
    link: Link | None = None
    since: float = math.nan
    connections: int = 0
    refusals: int = 0
    failure: str = ""
    _handle: AgentPeer | None = attrs.field(default=None, init=False)

    def handle(self, desk: Desk) -> AgentPeer:
        """Return the handle of this peer, the same one for as long as nothing in it changes."""
        kind = None if self.register is None else self.register.agent
        if self._handle is None or self._handle.agent_type is not kind:
            self._handle = AgentPeer.of(self.peer, kind, desk)
        return self._handle

    @property
    def is_ready(self) -> bool:
        """Whether it is connected and has registered on this connection."""
        return self.link is not None and self.link.is_registered


class Peers:
    """All peers of one agent.

    Args:
        desk: The agent.
        configured: Peers with the types that the configuration declares for them.

    """

    def __init__(self, desk: Desk, configured: Iterable[tuple[Peer, AgentType | None]]) -> None:
        self._desk = desk
        self._known = {peer: Known(peer, declared) for peer, declared in configured}
        self._by_name: dict[str, list[Known]] = {}
        for known in self._known.values():
            self._by_name.setdefault(known.peer.name, []).append(known)
        self._changed = trio.Event()
        self._stopped = False

    def __contains__(self, peer: object) -> bool:
        return peer in self._known

    def __getitem__(self, peer: Peer) -> Known:
        return self._known[peer]

    @property
    def known(self) -> tuple[Known, ...]:
        """All of them, connected or not."""
        return tuple(self._known.values())

    def handle(self, peer: Peer) -> AgentPeer:
        """Return the handle of a peer."""
        return self._known[peer].handle(self._desk)

    def select(self, wanted: AgentType | str | Peer | None = None) -> list[Known]:
        """Return the peers of a type, or of a name (``name`` or ``name@zone``), or all."""
        match wanted:
            case AgentType():
                return [
                    known
                    for known in self._known.values()
                    if known.register is not None and known.register.agent is wanted
                ]
            case str():
                name, _, zone = wanted.partition("@")
                return [known for known in self._by_name.get(name, ()) if not zone or known.peer.zone == zone]
            case Peer():
                return [self._known[wanted]] if wanted in self._known else []
            case None:
                return list(self._known.values())

    def ready(self, wanted: AgentType | str | Peer | None = None) -> list[AgentPeer]:
        """Return the handles of those that are connected and registered now."""
        return [self.handle(known.peer) for known in self.select(wanted) if known.is_ready]

    async def wait_ready(self, wanted: AgentType | str | Peer, refusals: int | None = None) -> AgentPeer:
        """Wait until such a peer is connected and registered; return the first of them.

        Args:
            wanted: A type, a name, or ``name@zone``.
            refusals: After how many refusals in a row to give up on a peer of that name, or None to wait for ever.

        Raises:
            PeerNotFoundError: No peer of that name is configured, so none can ever come.
            PeerRefusedError: The peer has hung up on our handshake that many times.
            AgentStoppedError: The agent has stopped.

        """
        if not isinstance(wanted, AgentType) and not self.select(wanted):
            names = ", ".join(sorted(str(peer) for peer in self._known)) or "none"
            raise PeerNotFoundError(
                f"No peer {str(wanted)[:80]!r} is configured; the configured peers are: {names}"
            )
        while not (found := self.ready(wanted)):
            if self._stopped:
                raise AgentStoppedError("The agent has stopped")
            if refusals is not None:
                for known in self.select(wanted):
                    if known.refusals >= refusals:
                        raise PeerRefusedError(
                            f"{known.peer.name} refuses the connection: {known.failure}. "
                            f"Are the keys those of its latest invitation, and is our address the one it expects?"
                        )
            await self._changed.wait()
        return found[0]

    async def wait_gone(self, wanted: AgentType | str | Peer) -> None:
        """Wait until no such peer is connected."""
        while not self._stopped and self.ready(wanted):
            await self._changed.wait()

    def changed(self) -> None:
        """Wake those who wait for a peer."""
        self._changed.set()
        self._changed = trio.Event()

    def stop(self) -> None:
        """Wake those who wait for a peer for the last time."""
        self._stopped = True
        self._changed.set()
