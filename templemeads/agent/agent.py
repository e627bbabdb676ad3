"""An agent: a nursery that owns one task per peer connection, the handlers that run, and the sweep of what expires.

    frame -> connection -> link -> commands -> exchange -> runner -> handler -> exchange -> link -> frame

The agent is the shell around `Exchange`: it brings commands and results in, and carries out what each step returns
(`Agent._carry_out`), without ever awaiting in between. Two rules hold it together:

Rule 1. Whatever an outcome asks to write goes to the store first, as one unit.
Rule 2. Nobody is told of anything that the store has not kept yet: links and waiters wait for the store, steps do not.

Everything that belongs to an agent hangs on its `Agent`; there is no module-level state, and many agents can live in one
process.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, Self
from uuid import UUID

import attrs
import trio

from paddington import (
    ClientConfig,
    DialFailure,
    Peer,
    ServerConfig,
    ServiceConfig,
    ServiceStatistics,
    open_service,
)
from paddington import Service as PaddingtonService

from ..agent_type import AgentType
from ..config import AgentConfig, store_path
from ..errors import JobError, PeerNotFoundError, RefusedError, StoreError, UnknownInstruction
from ..jobs.commands import (
    ENGINE,
    BadPut,
    Command,
    Delete,
    Error,
    PortalRoutes,
    Put,
    Register,
    Sync,
    Update,
    encode,
)
from ..jobs.exchange import Exchange
from ..jobs.job import DEFAULT_LIFETIME, Job, printable
from ..jobs.outcome import Erase, Kind, Outcome, Write
from ..jobs.portal_routes import CHECKERS, RouteTable
from ..jobs.sizes import fits_every_frame, surely_fits
from ..limits import Limits
from ..links.link import Link, registration_problem
from ..links.peers import AgentPeer, Peers
from ..links.refusals import Refusals
from ..links.transport import Connection, Service, Transport
from ..logcontext import bound
from ..operations.diagnostics import Ended, RunningHandler
from ..operations.notifications import NotificationHandler
from ..operations.operations import Operations
from ..stores.store import BoardStore, OpenStore, StoreStatistics, open_memory_store
from ..version import __version__
from .ask import ask
from .envelope import Envelope
from .handlers import Handler
from .lifespan import lifespan_of
from .runner import Finished, Runner
from .watch import Watch, Watches

_log = logging.getLogger("templemeads.agent")

LONGEST_NAP: Final = 60.0
"""Seconds between two looks at the clock: a wall clock that is set forward is noticed within this time."""


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
        refused: Refusals since the start, by kind.
        dropped: Control commands that found no room in the queue to a slow peer.

    """

    running: int
    waiting: int
    jobs: int
    refused: dict[str, int]
    dropped: int


class Agent:
    """A running agent; made by `open_agent`."""

    def __init__(
        self,
        config: AgentConfig,
        store: BoardStore,
        clock: Callable[[], float],
    ) -> None:
        self.config = config
        self.limits: Limits = config.limits
        self.peers = Peers(self, declared_types(config.service))
        self.exchange = Exchange(
            config.service.name,
            is_neighbour=self.peers.__contains__,
            is_connected=self._is_connected,
            limits=config.limits,
            payload_fits=partial(fits_every_frame, limits=config.service.limits),
            surely_fits=surely_fits(config.service.limits),
        )
        portals = [known.peer for known in self.peers.known if known.declared is AgentType.PORTAL]
        self.portal_routes = RouteTable(self.name, portals, most=config.limits.portal_routes)
        if config.agent_type in CHECKERS:
            self.exchange.check_owner = self.portal_routes.check_owner
        self._store = store
        self._clock = clock
        self._watches = Watches()
        self._refusals = Refusals(config.limits.refusal_log_seconds)
        self._counts: Counter[str] = Counter()
        self._ticket = 0
        self._sweep_at = math.inf
        self._sweep_earlier = trio.Event()
        self._service: Service | None = None
        self._runner: Runner
        self.operations: Operations
        self.news_observers: list[Callable[[Write], None]] = []
        self._stopping = False
        self._restarting = False

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
        """The port that the agent listens on, the real one where the configuration says 0; None if it does not."""
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
            PeerRefusedError: The peer has hung up on us that many times.

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
        found = [known.peer for known in self.peers.select(name if zone is None else f"{name}@{zone}")]
        if len(found) != 1:
            names = ", ".join(sorted(str(known.peer) for known in self.peers.known)) or "none"
            problem = "is in several zones" if found else "is not configured"
            raise PeerNotFoundError(f"The peer {name[:80]!a} {problem}; the configured peers are: {names}")
        return self.peers.handle(found[0])

    async def submit(self, text: str, *, zone: str | None = None, lifetime: float = DEFAULT_LIFETIME) -> Job:
        """Parse a command, apply the portal rule, and put the job to the next agent of its path.

        Args:
            text: ``<destination> <instruction>``.
            zone: The zone of the next agent; needed only where its name is in several.
            lifetime: Seconds until the job expires.

        Raises:
            ParseError: The text is no command, or the portal rule forbids it.
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

    async def ask(self, command: str, *, zone: str | None = None, lifetime: float | None = None) -> Any:
        """Put a job, wait for it, and return the value of its result.

        Inside a handler the job expires no later than the handler's own job, and is deleted when the handler is cancelled.

        Args:
            command: ``<destination> <instruction>``; the path begins with this agent.
            zone: The zone of the next agent. By default the zone of the handler's job, or else the only one that has a
                peer of that name.
            lifetime: Seconds until the job expires. By default all that the handler's job has left, or two minutes
                outside a handler.

        Raises:
            JobError: The job failed, expired or cannot be sent; `JobError.origin` is the agent where that happened.
            ParseError: The command is not in the grammar.

        """
        return await ask(self, command, zone=zone, lifetime=lifetime)

    @property
    def is_stopping(self) -> bool:
        """Whether it takes no more jobs, since it is about to stop."""
        return self._stopping

    @property
    def is_ready(self) -> bool:
        """Whether it listens, dials and takes jobs."""
        return self._service is not None and not self._stopping and not self._restarting

    def service_statistics(self) -> ServiceStatistics | None:
        """Return the figures of the connections, if the transport has any."""
        return self._service.statistics() if isinstance(self._service, PaddingtonService) else None

    def store_statistics(self) -> StoreStatistics:
        """Return the figures of the store."""
        return self._store.statistics()

    def queued(self) -> int:
        """Return how many commands wait for a connection, or for a slow one."""
        waiting = 0
        for known in self.peers.known:
            if known.link is not None:
                waiting += len(known.link.outbox)
            elif (board := self.exchange.boards.get(known.peer)) is not None:
                waiting += sum(not job.is_finished for job in board)
        return waiting

    def running_handlers(self) -> list[RunningHandler]:
        """Return the handlers that run now."""
        now = trio.current_time()
        return [RunningHandler(job, now - since) for job, since in self._runner.handlers]

    def statistics(self) -> AgentStatistics:
        """Return figures for operators."""
        links = [known.link for known in self.peers.known if known.link is not None]
        return AgentStatistics(
            running=self._runner.running,
            waiting=self._runner.waiting,
            jobs=sum(map(len, self.exchange.boards.values())),
            refused=dict(self._refusals.counts),
            dropped=sum(link.outbox.dropped for link in links),
        )

    # -- what jobs ask of their agent (`peers.Desk`) --------------------------------------------------------------

    def now(self) -> float:
        """Seconds since 1970 UTC on the agent's clock."""
        return self._clock()

    async def put_job(self, peer: Peer, job: Job) -> Job:
        """Put a job of our own (`Job.put`); on return the store has kept it."""
        if self._stopping:
            raise RefusedError(f"The agent {self.name!r} is stopping and takes no more jobs")
        if self._restarting:
            raise RefusedError(RESTARTING)
        handle = self.peers.handle(peer)
        kept, outcome = self.exchange.submit(job.kept_by(handle), peer, self.now())
        with bound(agent=self.name, peer=peer, job=kept.id):
            _log.info("put %s to %s from %s", kept, peer.name, self.name)
            self._carry_out(outcome)
        await self.wait_kept()
        return kept.kept_by(handle)

    async def wait_job(self, peer: Peer, job: Job) -> Job:
        """Wait until a job is finished (`Job.wait`)."""
        if job.is_finished:
            return job
        with self._watches.watch(peer, job.id) as watch:
            while not (current := self._watched(peer, job, watch)).is_finished:
                await watch.wait()
        await self.wait_kept()
        return current.kept_by(self.peers.handle(peer))

    async def job_updates(self, peer: Peer, job: Job) -> AsyncIterator[Job]:
        """Iterate over the changes of a job (`Job.updates`)."""
        handle = self.peers.handle(peer)
        last: Job | None = None
        with self._watches.watch(peer, job.id) as watch:
            while True:
                current = self._watched(peer, job, watch)
                if current != last:
                    await self.wait_kept()
                    yield (last := current).kept_by(handle)  # noqa: ASYNC119 - a watch holds no task and no scope
                    if current.is_finished:
                        return
                else:
                    await watch.wait()

    def _watched(self, peer: Peer, job: Job, watch: Watch) -> Job:
        current = self.exchange.find(peer, job.id)
        if current is None or watch.removed:
            raise JobError("Job removed from board", kind="unknown", origin=self.name)
        return current

    async def update_job(self, peer: Peer, job: Job) -> Job:
        """Return a job as it is now (`Job.update`)."""
        current = self.exchange.find(peer, job.id)
        if current is None:
            raise JobError("Job removed from board", kind="unknown", origin=self.name)
        await self.wait_kept()
        return current.kept_by(self.peers.handle(peer))

    async def delete_job(self, peer: Peer, job: Job) -> None:
        """Remove a job here and along its path (`Job.delete`)."""
        _log.info("delete %s at %s from %s", job, peer.name, self.name)
        self._carry_out(self.exchange.withdraw(job, peer, self.now()))
        await self.wait_kept()

    # -- for links ------------------------------------------------------------------------------------------------

    def registration(self) -> Register:
        """Return what we tell each peer of ourselves."""
        return Register(
            agent=self.agent_type,
            engine=ENGINE,
            version=__version__,
            domain="greatwestern",
            domain_version=DOMAIN_VERSION,
            supports_portal_routes=True,
            supports_structured_errors=True,
        )

    def receive(self, link: Link, command: Command | BadPut) -> None:
        """Apply what came in on a link, in one step."""
        match command:
            case Put(job) | Update(job) | Delete(job):
                with bound(job=job.id):
                    self._receive_jobs(link, command)
            case Sync() | BadPut():
                self._receive_jobs(link, command)
            case Register():
                self._register(link, command)
            case Error(error):
                self._counts["errors_told"] += 1
                line = f"{link.peer} says that something went wrong: {printable(error)}"
                self._refusals.tell(link.peer, "told", line, trio.current_time())
            case _ if not link.is_registered:
                self.refuse(link.peer, "unregistered", f"{type(command).__name__} before Register")
            case PortalRoutes():
                taken = self.portal_routes.receive(link.peer, self.peers[link.peer].declared, command)
                for refusal in taken.refusals:
                    self.refuse(link.peer, "portal-route", refusal)
                if taken.changed:
                    self._tell_routes()
            case _:
                self.operations.receive(link.peer, command)

    def _receive_jobs(self, link: Link, command: Put | Update | Delete | Sync | BadPut) -> None:
        if not link.is_registered:
            self.refuse(link.peer, "unregistered", f"{type(command).__name__} before Register")
        elif self._restarting:
            self._put_off(link.peer, command)
        else:
            _log_received(command, link.peer, self.name)
            self._carry_out(self.exchange.receive(link.peer, command, self.now()))

    def refuse(self, peer: Peer, kind: str, reason: str) -> None:
        """Count a refusal, and log it unless the peer's last one of this kind was just now."""
        self._refusals.add(peer, kind, reason, trio.current_time())

    async def wait_kept(self) -> None:
        """Wait until the store has kept everything that has happened so far."""
        if not self._store.is_kept(self._ticket):
            await self._store.wait_kept(self._ticket)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for the store that links should read no more until it has caught up."""
        return self._store.statistics().waiting > self.limits.store_backlog

    def _register(self, link: Link, register: Register) -> None:
        known = self.peers[link.peer]
        registered = known.register if link.is_registered else None
        problem = registration_problem(known.declared, registered, register)
        if problem is not None:
            line = f"the registration of {link.peer} is ignored: {problem}"
            self._refusals.tell(link.peer, "registration", line, trio.current_time(), level=logging.ERROR)
            self._refusals.count("registration")
            return
        known.register = register
        link.is_registered = True
        _log.info("%s is registered as %s (%s %s)", link.peer, register.agent, *_shown(register))
        self._tell_routes()
        self.peers.changed()

    def _tell_routes(self) -> None:
        """Tell each peer what it does not know yet of the portal routes in its zone."""
        for known in self.peers.known:
            link, register = known.link, known.register
            if (
                link is None
                or not link.is_registered
                or register is None
                or known.declared is AgentType.PORTAL
            ):
                continue
            if register.supports_portal_routes:
                messages, told = self.portal_routes.messages_for(known.peer, link.routes_told)
                # What found no room is told with the next change.
                if all(link.outbox.add_text(encode(message)) for message in messages):
                    link.routes_told = told

    def _is_connected(self, peer: Peer) -> bool:
        return self.peers[peer].link is not None

    def _put_off(self, peer: Peer, command: Put | Update | Delete | Sync | BadPut) -> None:
        """Take no job while the agent restarts; all but a ``Put`` comes again with the next ``Sync``."""
        if isinstance(command, Put) and not command.job.is_finished:
            self._carry_out(self.exchange.turn_away(peer, command.job, RESTARTING, self.now()))
        else:
            self.refuse(peer, "restarting", f"{type(command).__name__} during a soft restart")

    # -- the shell of the exchange ----------------------------------------------------------------------------------

    def _carry_out(self, outcome: Outcome) -> None:
        if outcome.writes:
            self._ticket = self._store.write(outcome.writes)
        for cancel in outcome.cancels:
            self._runner.cancel(cancel.peer, cancel.job_id, cancel.reason)
        for run in outcome.runs:
            self._runner.start(run.peer, run.job.id)
        for send in outcome.sends:
            if (link := self.peers[send.peer].link) is not None:
                link.outbox.add_job(send.kind, send.job)
                if send.kind is Kind.UPDATE and _log.isEnabledFor(logging.INFO):
                    _log.info("update %s to %s from %s", send.job, send.peer.name, self.name)
        for answer in outcome.answers:
            if (link := self.peers[answer.peer].link) is not None:
                link.outbox.add_text(answer.text)
        for write in outcome.writes:
            if isinstance(write, Write):
                self._watches.changed(write.peer, write.job.id, removed=write.deleted)
                for observer in self.news_observers:
                    observer(write)
            due = self.exchange.boards[write.peer].next_due
            if due is not None and due < self._sweep_at:
                self._sweep_earlier.set()
        for refusal in outcome.refusals:
            self.refuse(refusal.peer, refusal.kind, refusal.reason)

    def _make_envelope(self, peer: Peer, job_id: UUID) -> Envelope | None:
        job = self.exchange.find(peer, job_id)
        if job is None or job.is_finished:
            return None
        handle = self.peers.handle(peer)
        _log.info("run %s for %s", job, peer)
        return Envelope(
            job=job.kept_by(handle),
            sender=peer.name,
            recipient=self.name,
            zone=peer.zone,
            peer=handle,
            report=partial(self._report, peer, job_id),
            agent=self,
        )

    async def _report(self, peer: Peer, job_id: UUID, message: str | None) -> None:
        self._carry_out(self.exchange.progress(peer, job_id, message, self.now()))
        await trio.lowlevel.checkpoint()

    def _finished(self, finished: Finished) -> None:
        _log.info("finished %s in %.3f s", finished.job, finished.seconds)
        self.operations.handler_ended(Ended(finished.job, self.now(), finished.seconds))
        self._carry_out(self.exchange.finish(finished.peer, finished.job.id, finished.job, self.now()))

    def _cancelled(self, finished: Finished) -> None:
        self.operations.handler_ended(Ended(finished.job, self.now(), finished.seconds))

    # -- its life ----------------------------------------------------------------------------------------------------

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
        failure: Exception | None = None
        naming = ExitStack()
        async with store(config.service.name) as board_store, trio.open_nursery() as nursery:
            naming.enter_context(bound(agent=config.service.name))
            agent = cls(config, board_store, clock)
            agent._runner = Runner(
                handler, agent.limits, agent._make_envelope, agent._finished, agent._cancelled
            )
            agent.operations = Operations(agent, nursery, on_notification)
            await agent._restore()
            nursery.start_soon(agent._sweep, name=f"sweep of {agent.name}")
            connecting = transport(config.service, serve=agent._serve, dial_failed=agent._dial_failed)
            try:
                async with (
                    connecting as agent._service,
                    lifespan_of(handler, agent),
                    agent._runner.at_work(),
                ):
                    naming.close()  # from here on the tasks that start are the caller's
                    _log.info("%s agent %s is up", agent.agent_type, agent.name)
                    try:
                        yield agent
                    except Exception as error:  # noqa: BLE001 - raised again below, out of the nursery and so bare
                        failure = error
                    else:
                        await agent._stop()
            except Exception as error:  # noqa: BLE001 - likewise: the address, or the lifespan of the handlers
                failure = error
            finally:
                naming.close()
                agent._stopping = True
                agent.peers.stop()
                agent._watches.close()
                nursery.cancel_scope.cancel(reason="the agent has stopped")
        if failure is not None:
            raise failure

    # -- its tasks ---------------------------------------------------------------------------------------------------

    async def _serve(self, connection: Connection) -> None:
        """Serve one connection; paddington runs this in the connection's own task, behind its error wall."""
        if self._restarting:
            return
        link = Link(self, connection)
        known = self.peers[link.peer]
        known.link = link
        known.since = trio.current_time()
        known.connections += 1
        known.refusals = 0
        try:
            with bound(peer=link.peer):
                await link.run()
        finally:
            if known.link is link:
                known.link = None
                if self.portal_routes.forget(link.peer):
                    self._tell_routes()
            self.peers.changed()

    def _dial_failed(self, failure: DialFailure) -> None:
        known = self.peers[failure.peer]
        known.refusals = known.refusals + 1 if failure.refused else 0
        known.failure = failure.reason
        self.peers.changed()

    async def _sweep(self) -> None:
        while True:
            due = self.exchange.next_due
            self._sweep_at = math.inf if due is None else due
            self._sweep_earlier = trio.Event()
            with trio.move_on_after(min(max(0.0, self._sweep_at - self.now()), LONGEST_NAP)):
                await self._sweep_earlier.wait()
            self._carry_out(self.exchange.sweep(self.now()))

    async def _restore(self) -> None:
        kept = await self._store.load()
        ours = [write for write in kept if write.peer in self.peers]
        if len(ours) < len(kept):
            _log.warning(
                "%d jobs in the store belong to peers that are not configured any more", len(kept) - len(ours)
            )
            over = [
                write for write in kept if write.peer not in self.peers and write.job.is_expired(self.now())
            ]
            self._ticket = self._store.write([Erase(write.peer, write.job.id) for write in over])
        outcome = self.exchange.restore(ours, self.now())
        if ours:
            _log.info("%d jobs are back from the store, %d of them to be run", len(ours), len(outcome.runs))
        self._carry_out(outcome)

    async def _stop(self) -> None:
        """Take no more, let handlers finish, send what is queued: each within its deadline."""
        self._stopping = True
        with trio.move_on_after(self.limits.shutdown_seconds) as patience:
            await self._runner.drain()
        if patience.cancelled_caught:
            _log.warning("%d handlers have not finished in time and are cancelled", self._runner.running)
            self._runner.cancel_all("the agent stops")
        await self._close_links("the agent stops")

    async def _close_links(self, reason: str) -> None:
        links = [known.link for known in self.peers.known if known.link is not None]
        with trio.move_on_after(self.limits.flush_seconds):
            async with trio.open_nursery() as nursery:
                for link in links:
                    nursery.start_soon(link.flush)
        for link in links:
            link.cut(reason)

    async def soft_restart(self) -> None:
        """Begin afresh without ending the process, as an operator asks for when something is stuck.

        Every unfinished job ends with an error, its handler is cancelled, and every connection is closed in order; they
        come back by themselves. Finished jobs stay, so that no answer is lost and nothing is run twice. Asked for again
        meanwhile, this does nothing. Cancelled half-way, jobs have ended and some connections are still the old ones.

        Source: the protocol page *operations*, section 3.1.

        Raises:
            StoreError: The ends cannot be kept.

        """
        if self._restarting:
            return
        self._restarting = True
        _log.warning("%s begins afresh: unfinished jobs end with an error, connections are closed", self.name)
        try:
            self._carry_out(self.exchange.abandon("Agent soft restart - job cancelled", self.now()))
            await self.wait_kept()
            await self._close_links("soft restart")
            self._counts.clear()
        finally:
            self._restarting = False


RESTARTING: Final = "Agent is performing a soft restart - please retry"
"""What a job is told that comes during one (*operations*, section 3.1)."""

DOMAIN_VERSION: Final = "0.94.0"
"""The version of the grammar that we speak."""


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
        handler: Called for each job that arrives; by default each is an unknown instruction.
        store: Opens the store of its boards; by default the one that the configuration names.
        transport: Makes its connections; by default `paddington.open_service`.
        clock: Seconds since 1970 UTC.
        on_notification: Called for each notification that ends here; by default it is logged.

    Raises:
        ConfigError: The configuration names no usable store.
        StoreError: The store cannot be opened, or fails later: then the block is cancelled.
        paddington.PaddingtonError: The address cannot be listened on.

    Error handling: an exception in a handler becomes the job's error result, one in a connection ends that connection.
    Nothing else is caught.

    """
    if store is None:
        store = _store_of(config)
    if transport is None:
        transport = open_service
    try:
        async with Agent._open(config, handler, store, transport, clock, on_notification) as agent:  # noqa: SLF001 - its front door
            yield agent
    except BaseExceptionGroup as group:
        _raise_store_error_of(group)
        raise


def _store_of(config: AgentConfig) -> OpenStore:
    path = store_path(config.store)
    if path is None:
        return open_memory_store
    from ..stores.sqlite import open_sqlite_store

    return partial(open_sqlite_store, path=path)


def _raise_store_error_of(group: BaseExceptionGroup[BaseException]) -> None:
    """Raise the store's error by itself where it is the only cause of a group."""
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


def _log_received(command: Put | Update | Delete | Sync | BadPut, sender: Peer, name: str) -> None:
    if not _log.isEnabledFor(logging.INFO):
        return
    match command:
        case Sync():
            if command.jobs:
                _log.info("sync of %d jobs from %s", len(command.jobs), sender.name)
        case BadPut():
            pass
        case _:
            _log.info(
                "received %s %s to %s from %s", type(command).__name__.lower(), command.job, name, sender.name
            )


def _shown(register: Register) -> tuple[str, str]:
    return printable(register.engine, 40), printable(register.version, 40)
