"""Does what the boards decide: the only place where an `Outcome` becomes writes, tasks and messages.

The exchange is pure: each step returns what is to be done. `Executor.carry_out` does it, in one fixed order, without ever
awaiting in between. Two rules hold it together:

Rule 1. What an outcome asks to write goes to the store first, as one unit.
Rule 2. Nobody is told of anything that the store has not committed yet: links and waiters wait for the store, steps do not.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from uuid import UUID

import trio

from paddington import Peer
from paddington.waiters import Waiters

from ..jobs.exchange import Exchange
from ..jobs.job import Job
from ..jobs.outcome import Erase, Kind, Outcome, Write
from ..limits import Limits
from ..links.peers import Peers
from ..links.refusals import Refusals
from ..operations.diagnostics import Ended, RunningHandler
from ..stores.store import BoardStore, StoreStatistics
from .clock import AgentClock
from .envelope import Envelope
from .handlers import Handler
from .observer import Observers
from .runner import Finished, Runner
from .starts import counted
from .watch import Watches

_log = logging.getLogger("templemeads.agent")

MAX_SLEEP_SECONDS: Final = 60.0
"""Seconds between two looks at the clock: a wall clock that is set forward is noticed within this time."""

Report = Callable[[str | None], Awaitable[None]]
"""Takes the progress of a handler: one line for people, or None."""


class Executor:
    """The shell around the exchange of one agent.

    Args:
        exchange: Decides.
        store: Where boards outlive the process.
        peers: The way to send.
        limits: The agent's limits.
        clock: Seconds since 1970 UTC.
        handler: Called for each job that arrives.
        make_envelope: Makes what the handler receives.

    Attributes:
        observers: Everything that watches the agent.
        watches: The tasks that wait for a job.
        runner: The handlers that run and the jobs that wait for one.
        is_stopping: Whether the agent accepts no more jobs, since it is about to stop.
        is_restarting: Whether the agent accepts no jobs for the moment, since it is in a soft restart.

    """

    def __init__(
        self,
        exchange: Exchange,
        store: BoardStore,
        peers: Peers,
        limits: Limits,
        clock: Callable[[], float],
        handler: Handler,
        make_envelope: Callable[[Peer, Job, Report], Envelope],
    ) -> None:
        self.exchange = exchange
        self.observers = Observers()
        self.watches = Watches()
        self.runner = Runner(
            counted(handler, store, limits.handler_starts),
            limits,
            self._envelope_of,
            self._handler_finished,
            self._handler_cancelled,
        )
        self.is_stopping = False
        self.is_restarting = False
        self._store = store
        self._peers = peers
        self._limits = limits
        self._clock = AgentClock(clock, exchange.clock_set)
        self._make_envelope = make_envelope
        self._refusals = Refusals(limits.refusal_log_seconds)
        self._ticket = 0
        self._sweep_at = math.inf
        self._sweep_earlier = Waiters()

    def now(self) -> float:
        """Seconds since 1970 UTC on the agent's clock."""
        return self._clock.now()

    # -- outcomes --------------------------------------------------------------------------------------------------

    def carry_out(self, outcome: Outcome) -> None:
        """Do what a step has decided: write, cancel, run, send, answer, wake, refuse."""
        if outcome.writes:
            self._ticket = self._store.write(outcome.writes)
        for cancel in outcome.cancels:
            self.runner.cancel(cancel.peer, cancel.job_id, cancel.reason)
        for run in outcome.runs:
            self.runner.start(run.peer, run.job.id, run.job.destination.agents[0])
        for send in outcome.sends:
            if (
                self._peers.send_job(send.peer, send.kind, send.job)
                and send.kind is Kind.UPDATE
                and _log.isEnabledFor(logging.DEBUG)
            ):
                _log.debug("update %s to %s from %s", send.job, send.peer.name, self.exchange.name)
        for answer in outcome.answers:
            self._peers.send(answer.peer, answer.text)
        for write in outcome.writes:
            if isinstance(write, Write):
                self.watches.changed(write.peer, write.job.id, removed=write.deleted)
                self.observers.job_changed(write)
            due = self.exchange.boards[write.peer].next_due
            if due is not None and due < self._sweep_at:
                self._sweep_earlier.wake()
        for refusal in outcome.refusals:
            self.refuse(refusal.peer, refusal.kind, refusal.reason)

    # -- refusals --------------------------------------------------------------------------------------------------

    def refuse(self, peer: Peer, reason: str, message: str) -> None:
        """Count a refusal, and log it unless the peer's last one for this reason was just now.

        Args:
            peer: Who sent what is refused.
            reason: A short word from a fixed set.
            message: One sentence for the log.

        """
        self._refusals.add(peer, reason, message, trio.current_time())
        self.observers.refused(peer, reason, message)

    def log_about(self, peer: Peer, reason: str, line: str, *, level: int = logging.WARNING) -> None:
        """Log a line about a peer unless one for this reason was logged just now."""
        self._refusals.tell(peer, reason, line, trio.current_time(), level=level)

    def count_refusal(self, reason: str) -> None:
        """Count a refusal that is logged elsewhere."""
        self._refusals.count(reason)

    @property
    def refusals(self) -> dict[str, int]:
        """Refusals since the start, by reason."""
        return dict(self._refusals.counts)

    # -- the store -------------------------------------------------------------------------------------------------

    async def wait_committed(self) -> None:
        """Wait until the store has committed everything that has happened so far."""
        if not self._store.is_committed(self._ticket):
            await self._store.wait_committed(self._ticket)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for the store that links should read no more until it has caught up."""
        return self._store.statistics().waiting > self._limits.store_backlog

    def store_statistics(self) -> StoreStatistics:
        """Return the figures of the store."""
        return self._store.statistics()

    async def restore(self) -> None:
        """Bring the boards back from the store, and run what was not finished."""
        committed = await self._store.load()
        ours = [write for write in committed if write.peer in self._peers]
        if len(ours) < len(committed):
            _log.warning(
                "%d jobs in the store belong to peers that are not configured any more",
                len(committed) - len(ours),
            )
            now = self.now()
            over = [w for w in committed if w.peer not in self._peers and w.job.is_expired(now)]
            self._ticket = self._store.write([Erase(write.peer, write.job.id) for write in over])
        outcome = self.exchange.restore(ours, self.now())
        if ours:
            _log.info("%d jobs restored from the store, %d of them to be run", len(ours), len(outcome.runs))
        self.carry_out(outcome)

    async def sweep_forever(self) -> None:
        """Remove what expires, when it expires."""
        while True:
            due = self.exchange.next_due
            self._sweep_at = math.inf if due is None else due
            with trio.move_on_after(min(max(0.0, self._sweep_at - self.now()), MAX_SLEEP_SECONDS)):
                await self._sweep_earlier.wait()
            self.carry_out(self.exchange.sweep(self.now()))

    # -- handlers --------------------------------------------------------------------------------------------------

    def running_handlers(self) -> list[RunningHandler]:
        """Return the handlers that run now."""
        now = trio.current_time()
        return [RunningHandler(job, now - since) for job, since in self.runner.handlers]

    def _envelope_of(self, peer: Peer, job_id: UUID) -> Envelope | None:
        job = self.exchange.find(peer, job_id)
        if job is None or job.is_finished:
            return None
        _log.debug("run %s for %s", job, peer)
        bound_job = job.kept_by(self._peers.handle(peer))
        envelope = self._make_envelope(peer, bound_job, partial(self._report, peer, job_id))
        self.observers.handler_started(peer, bound_job)
        return envelope

    async def _report(self, peer: Peer, job_id: UUID, message: str | None) -> None:
        self.carry_out(self.exchange.progress(peer, job_id, message, self.now()))
        await trio.lowlevel.checkpoint()

    def _handler_finished(self, finished: Finished) -> None:
        _log.debug("finished %s in %.3f s", finished.job, finished.seconds)
        self.observers.handler_ended(finished.peer, Ended(finished.job, self.now(), finished.seconds))
        self.carry_out(self.exchange.finish(finished.peer, finished.job.id, finished.job, self.now()))

    def _handler_cancelled(self, finished: Finished) -> None:
        self.observers.handler_ended(finished.peer, Ended(finished.job, self.now(), finished.seconds))
