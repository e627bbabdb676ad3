"""The peers of an agent: who is configured, who is connected, who has registered as what, and the way to send to each."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable

import attrs
import trio

from paddington import Peer
from paddington.waiters import Waiters

from ..agent_type import AgentType
from ..errors import AgentStoppedError, PeerNotFoundError, PeerRefusedError
from ..jobs.commands import Register
from ..jobs.job import Job
from ..jobs.outcome import Kind
from .agent_peer import AgentPeer, JobService
from .outbox import Outbox


@attrs.frozen(eq=False)
class Channel:
    """The agent's side of a live connection.

    Attributes:
        outbox: What waits to be sent.
        flush: Waits until everything is sent, then closes the connection.
        cut: Ends the connection now; takes the reason.
        fits: Returns whether the peer accepts a command with this text.

    """

    outbox: Outbox
    flush: Callable[[], Awaitable[None]]
    cut: Callable[[str], None]
    fits: Callable[[str], bool]


@attrs.define(eq=False)
class PeerState:
    """The facts about one configured peer.

    Attributes:
        peer: Who it is.
        declared: The type that the configuration says it has, or None.
        register: What it registered as, still there after it has gone; None if it never did.
        channel: The way to send to it, while it is connected.
        is_registered: Whether it has registered on this connection.
        routes_told: The portal routes that it has been sent on this connection.
        since: When the connection began, in seconds on trio's clock.
        connections: How many there have been.
        refusals: How many times in a row it has refused our handshake.
        failure: Why the last attempt to reach it failed, in one sentence.

    """

    peer: Peer
    declared: AgentType | None = None
    register: Register | None = None
    channel: Channel | None = attrs.field(default=None, repr=False)
    is_registered: bool = False
    routes_told: dict[str, str] = attrs.field(factory=dict, repr=False)
    since: float = math.nan
    connections: int = 0
    refusals: int = 0
    failure: str = ""
    _handle: AgentPeer | None = attrs.field(default=None, init=False, repr=False)

    def handle(self, service: JobService) -> AgentPeer:
        """Return the handle of this peer, the same one for as long as nothing in it changes."""
        agent_type = self.agent_type
        if self._handle is None or self._handle.agent_type is not agent_type:
            self._handle = AgentPeer.of(self.peer, agent_type, service)
        return self._handle

    @property
    def agent_type(self) -> AgentType | None:
        """What it registered as, or None if it never did."""
        return None if self.register is None else self.register.agent

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to it."""
        return self.channel is not None

    @property
    def is_ready(self) -> bool:
        """Whether it is connected and has registered on this connection."""
        return self.channel is not None and self.is_registered

    @property
    def queued(self) -> int:
        """How many commands wait for it to take them; 0 while it is away."""
        return 0 if self.channel is None else len(self.channel.outbox)

    @property
    def dropped(self) -> int:
        """How many control commands found no room on this connection."""
        return 0 if self.channel is None else self.channel.outbox.dropped

    def connected(self, channel: Channel, now: float) -> None:
        """Record that a connection has begun.

        Args:
            channel: The way to send on it.
            now: Seconds on trio's clock.

        """
        self.channel = channel
        self.is_registered = False
        self.routes_told = {}
        self.since = now
        self.connections += 1
        self.refusals = 0

    def disconnected(self, channel: Channel) -> bool:
        """Record that a connection has ended; return whether it was the present one."""
        if self.channel is not channel:
            return False
        self.channel = None
        self.is_registered = False
        self.routes_told = {}
        return True


class Peers:
    """All peers of one agent.

    Args:
        service: What the agent does for the jobs that are put to its peers.
        configured: Peers with the types that the configuration declares for them.

    """

    def __init__(self, service: JobService, configured: Iterable[tuple[Peer, AgentType | None]]) -> None:
        self._service = service
        self._states = {peer: PeerState(peer, declared) for peer, declared in configured}
        self._by_name: dict[str, list[PeerState]] = {}
        for state in self._states.values():
            self._by_name.setdefault(state.peer.name, []).append(state)
        self._waiters = Waiters()
        self._stopped = False

    def __contains__(self, peer: object) -> bool:
        return peer in self._states

    def __getitem__(self, peer: Peer) -> PeerState:
        return self._states[peer]

    def declare(self, configured: Iterable[tuple[Peer, AgentType | None]]) -> None:
        """Add the peers that are new, and record what the configuration declares of the others now."""
        for peer, declared in configured:
            state = self._states.get(peer)
            if state is None:
                state = self._states[peer] = PeerState(peer)
                self._by_name.setdefault(peer.name, []).append(state)
            state.declared = declared
        self._waiters.wake()

    @property
    def states(self) -> tuple[PeerState, ...]:
        """All of them, connected or not."""
        return tuple(self._states.values())

    def handle(self, peer: Peer) -> AgentPeer:
        """Return the handle of a peer."""
        return self._states[peer].handle(self._service)

    def is_connected(self, peer: Peer) -> bool:
        """Whether there is a connection to a peer."""
        return self._states[peer].channel is not None

    def payload_fits(self, peer: Peer, text: str) -> bool | None:
        """Tell whether a peer accepts a command with this text; None while it is away, since its limit may change."""
        state = self._states.get(peer)
        return None if state is None or state.channel is None else state.channel.fits(text)

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, peer: Peer, text: str) -> bool:
        """Queue a control command for a peer; return False if it is not connected or its queue is full.

        Args:
            peer: The peer.
            text: The command's text.

        """
        channel = self._states[peer].channel
        return channel is not None and channel.outbox.add_text(text)

    def send_job(self, peer: Peer, kind: Kind, job: Job) -> bool:
        """Queue a job for a peer; return False if it is not connected: then the next ``Sync`` carries the job.

        Args:
            peer: The peer.
            kind: With which command.
            job: The job; the newest state of it is sent.

        """
        channel = self._states[peer].channel
        if channel is None:
            return False
        channel.outbox.add_job(kind, job)
        return True

    def queued(self) -> int:
        """Return how many commands wait for slow peers."""
        return sum(state.queued for state in self._states.values())

    def dropped(self) -> int:
        """Return how many control commands found no room in the queues of the present connections."""
        return sum(state.dropped for state in self._states.values())

    async def close_all(self, reason: str, seconds: float) -> None:
        """Close every connection, each after what is queued for it has been sent.

        Args:
            reason: Why, in a few words for the log.
            seconds: How long all of this may take; what is not closed by then is cut.

        """
        channels = [state.channel for state in self._states.values() if state.channel is not None]
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for channel in channels:
                    nursery.start_soon(channel.flush)
        for channel in channels:
            channel.cut(reason)

    # -- finding -------------------------------------------------------------------------------------------------

    def select(self, wanted: AgentType | str | Peer | None = None) -> list[PeerState]:
        """Return the peers of a type, or of a name (``name`` or ``name@zone``), or all."""
        match wanted:
            case AgentType():
                return [state for state in self._states.values() if state.agent_type is wanted]
            case str():
                name, _, zone = wanted.partition("@")
                return [state for state in self._by_name.get(name, ()) if not zone or state.peer.zone == zone]
            case Peer():
                return [self._states[wanted]] if wanted in self._states else []
            case None:
                return list(self._states.values())

    def ready(self, wanted: AgentType | str | Peer | None = None) -> list[AgentPeer]:
        """Return the handles of those that are connected and registered now."""
        return [self.handle(state.peer) for state in self.select(wanted) if state.is_ready]

    def only(self, name: str, zone: str | None = None) -> AgentPeer:
        """Return the handle of a configured peer, connected or not.

        Args:
            name: Its name, or ``name@zone``.
            zone: Its zone; needed only if the name is in several.

        Raises:
            PeerNotFoundError: There is none, or the name is in several zones and none was given.

        """
        found = self.select(name if zone is None else f"{name}@{zone}")
        if len(found) != 1:
            problem = "is in several zones" if found else "is not configured"
            raise PeerNotFoundError(f"The peer {name[:80]!a} {problem}; {self._configured()}")
        return self.handle(found[0].peer)

    async def wait_ready(self, wanted: AgentType | str | Peer, refusals: int | None = None) -> AgentPeer:
        """Wait until such a peer is connected and registered; return the first of them.

        Args:
            wanted: A type, a name, or ``name@zone``.
            refusals: After how many refusals in a row to give up on a peer of that name, or None to wait for ever.

        Raises:
            PeerNotFoundError: No peer of that name is configured, so none can ever come.
            PeerRefusedError: The peer has refused our handshake that many times.
            AgentStoppedError: The agent has stopped.

        """
        if not isinstance(wanted, AgentType) and not self.select(wanted):
            raise PeerNotFoundError(f"No peer {str(wanted)[:80]!r} is configured; {self._configured()}")
        while not (found := self.ready(wanted)):
            if self._stopped:
                raise AgentStoppedError("The agent has stopped")
            if refusals is not None:
                for state in self.select(wanted):
                    if state.refusals >= refusals:
                        raise PeerRefusedError(
                            f"{state.peer.name} refuses the connection: {state.failure}. "
                            f"Are the keys those of its latest invitation, and is our address the one it expects?"
                        )
            await self._waiters.wait()
        return found[0]

    async def wait_gone(self, wanted: AgentType | str | Peer) -> None:
        """Wait until no such peer is connected."""
        while not self._stopped and self.ready(wanted):
            await self._waiters.wait()

    def changed(self) -> None:
        """Wake the tasks that wait for a peer."""
        self._waiters.wake()

    def stop(self) -> None:
        """Wake the tasks that wait for a peer for the last time."""
        self._stopped = True
        self._waiters.wake()

    def _configured(self) -> str:
        return "the configured peers are: " + (", ".join(sorted(map(str, self._states))) or "none")
