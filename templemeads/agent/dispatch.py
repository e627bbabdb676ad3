"""What a command from a peer means to this agent: jobs go to the exchange, questions to the operations."""

from __future__ import annotations

import logging
from typing import Final

import trio

from paddington import DialFailure

from ..agent_type import AgentType
from ..config import AgentConfig
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
from ..jobs.job import Job, JobKeeper
from ..jobs.portal_routes import RouteTable
from ..limits import Limits
from ..links.link import Link, registration_problem
from ..links.peers import Peers, PeerState
from ..links.transport import Connection
from ..logcontext import bound
from ..operations.operations import Operations
from ..text import printable
from ..version import __version__
from .executor import Executor
from .own_jobs import RESTARTING

_log = logging.getLogger("templemeads.agent")

DOMAIN_VERSION: Final = "0.94.0"
"""The version of the grammar that we speak."""


class Dispatch:
    """Serves the connections of one agent (`links.link.LinkOwner`).

    Args:
        config: What the agent is.
        executor: Carries out what the boards decide.
        peers: The agent's peers.
        portal_routes: Which portal lies behind which peer.
        operations: Health, diagnostics, restarts and notifications.

    """

    def __init__(
        self,
        config: AgentConfig,
        executor: Executor,
        peers: Peers,
        portal_routes: RouteTable,
        operations: Operations,
    ) -> None:
        self.limits: Limits = config.limits
        self.exchange: Exchange = executor.exchange
        self._agent_type = config.agent_type
        self._executor = executor
        self._observers = executor.observers
        self._peers = peers
        self._portal_routes = portal_routes
        self._operations = operations
        self.now = executor.now
        self.wait_committed = executor.wait_committed

    # -- connections -----------------------------------------------------------------------------------------------

    async def serve(self, connection: Connection) -> None:
        """Serve one connection; paddington runs this in the connection's own task, and catches its errors."""
        if self._executor.is_restarting:
            return
        state = self._peers[connection.peer]
        link = Link(connection, state, self)
        state.connected(link.channel, trio.current_time())
        self._observers.peer_connected(state.peer)
        try:
            with bound(peer=state.peer):
                await link.run()
        finally:
            if state.disconnected(link.channel):
                self._observers.peer_gone(state.peer)
                if self._portal_routes.forget(state.peer):
                    self._send_routes()
            self._peers.changed()

    def dial_failed(self, failure: DialFailure) -> None:
        """Record that a peer could not be reached."""
        state = self._peers[failure.peer]
        state.refusals = state.refusals + 1 if failure.refused else 0
        state.failure = failure.reason
        self._peers.changed()

    # -- what a link asks of its owner -----------------------------------------------------------------------------

    @property
    def is_behind(self) -> bool:
        """Whether links should read no more until the store has caught up."""
        return self._executor.is_behind

    def holder(self, state: PeerState) -> JobKeeper:
        """Return what jobs of this peer are bound to."""
        return self._peers.handle(state.peer)

    def refuse_from(self, state: PeerState, reason: str, message: str) -> None:
        """Count and log that something of a peer was not accepted."""
        self._executor.refuse(state.peer, reason, message)

    def cannot_send(self, state: PeerState, job: Job) -> None:
        """End a job that is too large for the peer with an error."""
        self._executor.carry_out(self.exchange.cannot_send(state.peer, job.id, self.now()))

    def registration(self) -> Register:
        """Return what each peer is sent about this agent."""
        return Register(
            agent=self._agent_type,
            engine=ENGINE,
            version=__version__,
            domain="greatwestern",
            domain_version=DOMAIN_VERSION,
            supports_portal_routes=True,
            supports_structured_errors=True,
        )

    def receive(self, state: PeerState, command: Command | BadPut) -> None:
        """Apply a command of a peer, in one step."""
        match command:
            case Put(job) | Update(job) | Delete(job):
                with bound(job=job.id):
                    self._receive_jobs(state, command)
            case Sync() | BadPut():
                self._receive_jobs(state, command)
            case Register():
                self._register(state, command)
            case Error(error):
                if not (state.is_registered and self._operations.receive_error(state.peer, error)):
                    line = f"{state.peer} reports an error: {printable(error)}"
                    self._executor.log_about(state.peer, "told", line)
            case _ if not state.is_registered:
                self.refuse_from(state, "unregistered", f"{type(command).__name__} before Register")
            case PortalRoutes():
                taken = self._portal_routes.receive(state.peer, state.declared, command)
                for refusal in taken.refusals:
                    self.refuse_from(state, "portal-route", refusal)
                if taken.changed:
                    self._send_routes()
            case _:
                self._operations.receive(state.peer, command)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _receive_jobs(self, state: PeerState, command: Put | Update | Delete | Sync | BadPut) -> None:
        executor = self._executor
        if not state.is_registered:
            self.refuse_from(state, "unregistered", f"{type(command).__name__} before Register")
        elif executor.is_restarting:
            self._put_off(state, command)
        else:
            if _log.isEnabledFor(logging.DEBUG):
                _log_received(command, state.peer.name, self.exchange.name)
            executor.carry_out(self.exchange.receive(state.peer, command, executor.now()))

    def _put_off(self, state: PeerState, command: Put | Update | Delete | Sync | BadPut) -> None:
        """Accept no job while the agent restarts; all but a ``Put`` comes again with the next ``Sync``."""
        executor = self._executor
        if isinstance(command, Put) and not command.job.is_finished:
            outcome = self.exchange.turn_away(state.peer, command.job, RESTARTING, executor.now())
            executor.carry_out(outcome)
        else:
            self.refuse_from(state, "restarting", f"{type(command).__name__} during a soft restart")

    def _register(self, state: PeerState, register: Register) -> None:
        registered = state.register if state.is_registered else None
        problem = registration_problem(state.declared, registered, register)
        if problem is not None:
            line = f"the registration of {state.peer} is ignored: {problem}"
            self._executor.log_about(state.peer, "registration", line, level=logging.ERROR)
            self._executor.count_refusal("registration")
            return
        state.register = register
        state.is_registered = True
        engine, version = printable(register.engine, 40), printable(register.version, 40)
        _log.info("%s is registered as %s (%s %s)", state.peer, register.agent, engine, version)
        self._observers.peer_registered(state.peer, register)
        self._send_routes()
        self._peers.changed()

    def _send_routes(self) -> None:
        """Send each peer what it does not know yet of the portal routes in its zone."""
        for state in self._peers.states:
            register = state.register
            if not state.is_ready or register is None or state.declared is AgentType.PORTAL:
                continue
            if register.supports_portal_routes:
                messages, told = self._portal_routes.messages_for(state.peer, state.routes_told)
                # What found no room is sent with the next change.
                if all(self._peers.send(state.peer, encode(message)) for message in messages):
                    state.routes_told = told


def _log_received(command: Put | Update | Delete | Sync | BadPut, sender: str, name: str) -> None:
    match command:
        case Sync():
            if command.jobs:
                _log.debug("sync of %d jobs from %s", len(command.jobs), sender)
        case BadPut():
            pass
        case _:
            _log.debug(
                "received %s %s to %s from %s", type(command).__name__.lower(), command.job, name, sender
            )
