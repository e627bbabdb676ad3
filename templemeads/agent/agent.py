"""An agent: a nursery that owns one task per peer connection, the handlers that run, and the sweep of what expires.

    frame -> connection -> channel -> link -> commands -> dispatch -> exchange -> executor -> runner -> handler
    handler -> exchange -> executor -> channel -> link -> frame

`Agent` is the face: what users and operators call, and how an agent starts and stops. `Dispatch` decides what a command
from a peer means, `Executor` does what the boards decide. Everything that belongs to an agent hangs on its `Agent`; there
is no module-level state, and many agents can live in one process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any, Self

import attrs
import trio

from paddington import (
    ClientConfig,
    ConfigError,
    Peer,
    ServerConfig,
    ServiceConfig,
    ServiceStatistics,
    always_fitting_characters,
    max_payload_bytes,
    open_service,
)
from paddington import Service as PaddingtonService
from paddington.nursery import HeldError, open_bare_nursery

from ..agent_type import AgentType
from ..config import AgentConfig
from ..errors import RefusedError, StoreError, UnknownInstruction
from ..jobs.board import Board
from ..jobs.exchange import Exchange
from ..jobs.job import DEFAULT_LIFETIME, Job
from ..jobs.portal_routes import CHECKERS, RouteTable
from ..jobs.virtual import VirtualAgents
from ..limits import Limits
from ..links.agent_peer import AgentPeer
from ..links.peers import Peers
from ..links.transport import Service, Transport
from ..logcontext import bound
from ..operations.diagnostics import Ended, RunningHandler
from ..operations.notifications import NotificationHandler
from ..operations.operations import Operations
from ..stores.opening import open_store
from ..stores.store import BoardStore, OpenStore, StoreStatistics
from .ask import ask
from .dispatch import Dispatch
from .envelope import Envelope
from .executor import Executor, Report
from .handlers import Handler
from .job_log import JobLog
from .lifespan import lifespan_of
from .observer import Observer, Observers
from .own_jobs import OwnJobs
from .wall import call_notified
from .watchdog import LoopWatchdog

_log = logging.getLogger("templemeads.agent")


async def refuse_every_job(envelope: Envelope) -> Job:
    """The handler of an agent that runs no jobs."""
    raise UnknownInstruction(envelope.job.instruction)


@attrs.frozen
class AgentStatistics:
    """Figures of a running agent.

    Attributes:
        running: Handlers that run now.
        waiting: Jobs that wait for a handler.
        jobs: Jobs on all boards.
        refused: Refusals since the start, by reason.
        dropped: Control commands that found no room in the queue to a slow peer.
        stalls: How often the event loop was blocked since the start.

    """

    running: int
    waiting: int
    jobs: int
    refused: dict[str, int]
    dropped: int
    stalls: int


class Agent:
    """A running agent; made by `open_agent`.

    Attributes:
        config: What it is.
        limits: Its limits.
        peers: Its peers, connected or not.
        exchange: Its boards.
        portal_routes: Which portal lies behind which peer.
        operations: Its health, diagnostics, restarts and notifications.
        handler_threads: The worker threads of plain `def` handlers.
        watchdog: Notices when something blocks the event loop, where `run_agent` runs the agent.

    """

    def __init__(
        self,
        config: AgentConfig,
        handler: Handler,
        store: BoardStore,
        clock: Callable[[], float],
        nursery: trio.Nursery,
        on_notification: NotificationHandler | None = None,
    ) -> None:
        self.config = config
        self.limits: Limits = config.limits
        own_jobs = OwnJobs(self.name)
        self.peers = Peers(own_jobs, declared_types(config.service))
        self.portal_routes = _route_table(config, self.peers)
        self.exchange = make_exchange(config, self.peers, self.portal_routes)
        if getattr(handler, "hosts_virtual_agents", False):
            self.exchange.virtual = VirtualAgents()
        self._executor = Executor(
            self.exchange, store, self.peers, config.limits, clock, handler, self._make_envelope
        )
        own_jobs.attach(self._executor, self.peers)
        self.operations = Operations(
            self,
            self.peers,
            nursery,
            on_notification,
            restart_without_destination=config.option("restart_without_destination") == "true",
        )
        self.observers.add(_DiagnosticsObserver(self.operations))
        self.observers.add(JobLog(self.name))
        self._dispatch = Dispatch(config, self._executor, self.peers, self.portal_routes, self.operations)
        self.handler_threads = trio.CapacityLimiter(config.limits.handler_threads)
        self.watchdog = LoopWatchdog(config.limits.stall_seconds)
        self._service: Service | None = None

    def __repr__(self) -> str:
        return f"<Agent {self.name} ({self.agent_type})>"

    # -- for users ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.config.service.name

    @property
    def agent_type(self) -> AgentType:
        """What the agent is."""
        return self.config.agent_type

    @property
    def port(self) -> int | None:
        """The port that the agent listens on, the real one if the configuration says 0; None if it does not listen."""
        return None if self._service is None else self._service.port

    def get_all(self, wanted: AgentType | str | None = None) -> list[AgentPeer]:
        """Return the peers that are connected now: of a type, or of a name (``name`` or ``name@zone``), or all."""
        return self.peers.ready(wanted)

    async def wait_for(self, wanted: AgentType | str, *, refusals: int | None = None) -> AgentPeer:
        """Wait until a peer of a type, or of a name (``name`` or ``name@zone``), is connected.

        Args:
            wanted: A type, a name, or ``name@zone``.
            refusals: After how many refusals in a row to give up on a peer of that name; by default, never.

        Raises:
            PeerNotFoundError: No peer of that name is configured.
            PeerRefusedError: The peer has refused our handshake that many times.

        """
        return await self.peers.wait_ready(wanted, refusals)

    async def wait_gone(self, wanted: AgentType | str) -> None:
        """Wait until no peer of a type, or of a name, is connected."""
        await self.peers.wait_gone(wanted)

    def peer(self, name: str, zone: str | None = None) -> AgentPeer:
        """Return a configured peer, connected or not; jobs put to an absent one are sent when it comes.

        Raises:
            PeerNotFoundError: There is none, or the name is in several zones and none was given.

        """
        return self.peers.only(name, zone)

    async def submit(self, text: str, *, zone: str | None = None, lifetime: float = DEFAULT_LIFETIME) -> Job:
        """Parse a command, apply the portal rule, and put the job to the next agent of its path.

        Args:
            text: ``<destination> <instruction>``.
            zone: The zone of the next agent; needed only if its name is in several.
            lifetime: Seconds until the job expires.

        Raises:
            ParseError: The text is not a command, or the portal rule forbids it.
            PeerNotFoundError: The next agent of the path is not configured here.
            RefusedError: The path does not begin here, or a limit is reached.

        """
        job = Job.parse(text, lifetime=lifetime, check_portal_rule=True, now=self.now())
        agents = job.destination.agents
        if agents[0] != self.name:
            raise RefusedError(
                f"The path {text.split(' ', maxsplit=1)[0][:200]!a} does not begin with this agent, {self.name!r}"
            )
        return await self.peer(agents[1], zone).put_job(job)

    async def ask(
        self,
        command: str,
        *,
        zone: str | None = None,
        lifetime: float | None = None,
        expected: type[Any] | None = None,
    ) -> Any:
        """Put a job, wait for it, and return the value of its result.

        Inside a handler the job expires no later than the handler's own job, and is deleted when the handler is cancelled.

        Args:
            command: ``<destination> <instruction>``; the path begins with this agent.
            zone: The zone of the next agent. By default the zone of the handler's job, or else the only one that has a
                peer of that name.
            lifetime: Seconds until the job expires. By default all that the handler's job has left, or two minutes
                outside a handler.
            expected: The type that the value must have, such as ``UserMapping``; any other is an error.

        Raises:
            JobError: The job failed, expired or cannot be sent, or its value is of a wrong type;
                `JobError.origin` is the agent where that happened.
            ParseError: The command is not in the grammar.

        """
        return await ask(self, command, zone=zone, lifetime=lifetime, expected=expected)

    def offer(self, names: Iterable[Peer]) -> None:
        """Answer to these names beside the agent's own, and to no others: it is then all these virtual agents.

        Jobs that wait for one of them are run. The handler must have the attribute ``hosts_virtual_agents``.

        Args:
            names: Names with zones.

        Raises:
            StateError: The handler does not host virtual agents.

        """
        self._executor.carry_out(self.exchange.offer(frozenset(names), self.now()))

    # -- for operators ------------------------------------------------------------------------------------------

    @property
    def observers(self) -> Observers:
        """Everything that watches this agent."""
        return self._executor.observers

    @property
    def is_stopping(self) -> bool:
        """Whether it accepts no more jobs, since it is about to stop."""
        return self._executor.is_stopping

    @property
    def is_ready(self) -> bool:
        """Whether it listens, dials and accepts jobs."""
        executor = self._executor
        return self._service is not None and not executor.is_stopping and not executor.is_restarting

    @property
    def boards(self) -> Mapping[Peer, Board]:
        """The boards by peer; not to be changed."""
        return self.exchange.boards

    def now(self) -> float:
        """Seconds since 1970 UTC on the agent's clock."""
        return self._executor.now()

    async def wait_committed(self) -> None:
        """Wait until the store has committed everything that has happened so far."""
        await self._executor.wait_committed()

    def service_statistics(self) -> ServiceStatistics | None:
        """Return the figures of the connections, if the transport has any."""
        return self._service.statistics() if isinstance(self._service, PaddingtonService) else None

    def store_statistics(self) -> StoreStatistics:
        """Return the figures of the store."""
        return self._executor.store_statistics()

    def queued(self) -> int:
        """Return how many commands wait for a connection, or for a slow one."""
        waiting = self.peers.queued()
        for peer, board in self.exchange.boards.items():
            if not self.peers.is_connected(peer):
                waiting += sum(not job.is_finished for job in board)
        return waiting

    def running_handlers(self) -> list[RunningHandler]:
        """Return the handlers that run now."""
        return self._executor.running_handlers()

    def statistics(self) -> AgentStatistics:
        """Return figures for operators."""
        return AgentStatistics(
            running=self._executor.runner.running,
            waiting=self._executor.runner.waiting,
            jobs=sum(map(len, self.exchange.boards.values())),
            refused=self._executor.refusals,
            dropped=self.peers.dropped(),
            stalls=self.watchdog.stalls,
        )

    def refuse(self, peer: Peer, reason: str, message: str) -> None:
        """Count and log that something a peer sent was not accepted (`Executor.refuse`)."""
        self._executor.refuse(peer, reason, message)

    async def change_peers(self, service: ServiceConfig) -> frozenset[Peer]:
        """Take up the peers of a newer configuration; return those that were added, changed or removed.

        Connections with other peers go on (`paddington.Service.change_peers`). A removed peer can no longer connect; its
        jobs stay on its board until they expire.

        Args:
            service: The newer configuration, of which only the peers count.

        Raises:
            ConfigError: The new peers contradict each other, or the agent does not listen and has clients now.

        """
        if not isinstance(self._service, PaddingtonService):
            raise ConfigError("This agent's transport cannot change its peers")
        service.check()
        if service.clients and not self.config.service.clients:
            raise ConfigError(
                "This agent had no clients when it was started, so it does not listen: restart its process"
            )
        self.peers.declare(declared_types(service))
        changed = await self._service.change_peers(service.clients, service.servers)
        self.config.service = attrs.evolve(
            self.config.service, clients=service.clients, servers=service.servers
        )
        return changed

    async def soft_restart(self) -> None:
        """Start again without ending the process, as an operator asks for when something is stuck.

        Every unfinished job ends with an error, its handler is cancelled, and every connection is closed in order; they
        come back by themselves. Finished jobs stay, so that no answer is lost and nothing is run twice. If a soft restart
        is under way, this does nothing. Cancelled half-way, jobs have ended and some connections are still the old ones.

        Source: the protocol page *operations*, section 3.1.

        Raises:
            StoreError: The results cannot be committed.

        """
        executor = self._executor
        if executor.is_restarting:
            return
        executor.is_restarting = True
        _log.warning(
            "soft restart of %s: unfinished jobs end with an error, connections are closed", self.name
        )
        try:
            executor.carry_out(self.exchange.abandon("Agent soft restart - job cancelled", self.now()))
            await executor.wait_committed()
            await self.peers.close_all("soft restart", self.limits.flush_seconds)
        finally:
            executor.is_restarting = False

    # -- start and stop -----------------------------------------------------------------------------------------

    @classmethod
    @asynccontextmanager
    async def _open(
        cls,
        config: AgentConfig,
        handler: Handler,
        store: OpenStore,
        transport: Transport,
        clock: Callable[[], float],
        on_notification: NotificationHandler | None,
    ) -> AsyncIterator[Self]:
        naming = ExitStack()
        async with store(config.service.name) as board_store, open_bare_nursery() as nursery:
            naming.enter_context(bound(agent=config.service.name))
            walled = None if on_notification is None else partial(call_notified, on_notification)
            agent = cls(config, handler, board_store, clock, nursery, walled)
            executor, dispatch = agent._executor, agent._dispatch
            await executor.restore()
            nursery.start_soon(executor.sweep_forever, name=f"sweep of {agent.name}")
            connecting = transport(config.service, serve=dispatch.serve, dial_failed=dispatch.dial_failed)
            held = HeldError()
            try:
                async with (
                    connecting as agent._service,
                    lifespan_of(handler, agent),
                    executor.runner.at_work(),
                ):
                    naming.close()  # from here on the tasks that start are the caller's
                    _log.info("%s agent %s is up", agent.agent_type, agent.name)
                    with held:
                        yield agent
                        await agent._stop()
            finally:
                naming.close()
                executor.is_stopping = True
                agent.peers.stop()
                executor.watches.close()
                nursery.cancel_scope.cancel(reason="the agent has stopped")
            held.release()

    async def _stop(self) -> None:
        """Accept no more, let handlers finish, send what is queued: each within its deadline."""
        executor = self._executor
        executor.is_stopping = True
        with trio.move_on_after(self.limits.shutdown_seconds) as patience:
            await executor.runner.drain()
        if patience.cancelled_caught:
            _log.warning("%d handlers have not finished in time: cancelling them", executor.runner.running)
            executor.runner.cancel_all("the agent stops")
        await self.peers.close_all("the agent stops", self.limits.flush_seconds)

    def _make_envelope(self, peer: Peer, job: Job, report: Report) -> Envelope:
        return Envelope(
            job=job,
            sender=peer.name,
            recipient=job.destination.agents[-1],
            zone=peer.zone,
            peer=self.peers.handle(peer),
            report=report,
            agent=self,
        )


class _DiagnosticsObserver(Observer):
    """Lets the operations remember how handlers ended."""

    def __init__(self, operations: Operations) -> None:
        self._recorder = operations.recorder

    def handler_ended(self, _: Peer, ended: Ended) -> None:
        """Remember it."""
        self._recorder.record(ended)


@asynccontextmanager
async def open_agent(
    config: AgentConfig,
    handler: Handler = refuse_every_job,
    *,
    store: OpenStore | None = None,
    transport: Transport | None = None,
    clock: Callable[[], float] = time.time,
    on_notification: NotificationHandler | None = None,
) -> AsyncIterator[Agent]:
    """Run an agent for as long as the ``with`` block lasts.

    When the block ends normally the agent stops in order: running handlers get ``limits.shutdown_seconds``, what is
    queued gets ``limits.flush_seconds``. When it ends by an exception or is cancelled, handlers are cancelled. Everything
    has stopped when the block has been left.

    Args:
        config: What the agent is.
        handler: Called for each job that arrives; by default each job is refused as an unknown instruction.
        store: Opens the store of its boards; by default the one that the configuration names.
        transport: Makes its connections; by default `paddington.open_service`.
        clock: Seconds since 1970 UTC.
        on_notification: Called for each notification that ends here; by default it is logged.

    Raises:
        ConfigError: The configuration names no usable store.
        StoreError: The store cannot be opened, or fails later: then the block is cancelled.
        paddington.PaddingtonError: The address cannot be listened on.

    Error handling: an exception in a handler becomes the job's error result, one in a connection ends that connection.
    Whatever the block raises, of whatever class, comes out as it was raised, not in a group.

    """
    if store is None:
        store = configured_store(config)
    if transport is None:
        transport = open_service
    try:
        async with Agent._open(config, handler, store, transport, clock, on_notification) as agent:  # noqa: SLF001 - its front door
            yield agent
    except BaseExceptionGroup as group:
        _raise_store_error_of(group)
        raise


def configured_store(config: AgentConfig, on_waiting: Callable[[str], None] | None = None) -> OpenStore:
    """Return what opens the store that a configuration names.

    Args:
        config: The configuration.
        on_waiting: Called with the name of the process that leads, while this one of a pair waits for its turn.

    Raises:
        ConfigError: It names no usable store.
    """
    return open_store(
        config.store,
        patience=config.limits.store_patience_seconds,
        lease_seconds=config.limits.lease_seconds if config.pair else None,
        on_waiting=on_waiting,
    )


def _raise_store_error_of(group: BaseExceptionGroup[BaseException]) -> None:
    """Raise the store's error bare if it is the only cause of a group."""
    errors, others = group.split(StoreError)
    if errors is None or others is not None:
        return
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    raise error


def declared_types(service: ServiceConfig) -> list[tuple[Peer, AgentType | None]]:
    """Return the configured peers of a service with the types that are declared for them."""
    entries: tuple[ClientConfig | ServerConfig, ...] = (*service.clients, *service.servers)
    return [(entry.peer, None if entry.type is None else AgentType.parse(entry.type)) for entry in entries]


def make_exchange(config: AgentConfig, peers: Peers, portal_routes: RouteTable) -> Exchange:
    """Return the boards of an agent, with the rules that its type and its limits ask for."""
    limits = config.service.limits
    # A peer that is away may come back with any framing. What it then cannot receive, its link finds.
    most_characters = max(
        max_payload_bytes(limits), max_payload_bytes(limits, peer_numbers=False), limits.dense_frame_bytes
    )

    def payload_fits(peer: Peer, text: str) -> bool:
        fits = peers.payload_fits(peer, text)
        return len(text) <= most_characters if fits is None else fits

    return Exchange(
        config.service.name,
        is_neighbour=peers.__contains__,
        is_connected=peers.is_connected,
        limits=config.limits,
        payload_fits=payload_fits,
        surely_fits=always_fitting_characters(limits),
        check_owner=portal_routes.check_owner if config.agent_type in CHECKERS else None,
    )


def _route_table(config: AgentConfig, peers: Peers) -> RouteTable:
    portals = [state.peer for state in peers.states if state.declared is AgentType.PORTAL]
    return RouteTable(config.service.name, portals, most=config.limits.portal_routes)
