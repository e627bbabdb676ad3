"""Runs handlers: each in its own task and cancel scope, so many at once and no more.

Jobs that find no free place wait in a queue, one queue for each origin (the first agent of the path) behind each peer, and
the queues take turns: a portal that sends a thousand slow jobs delays only its own, also behind a provider that it shares.
The runner knows nothing of boards; what a handler returns goes to a callback.

This is one of the agent's two error walls: whatever a handler raises becomes the job's error result and goes no further.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import attrs
import trio

from paddington import Peer
from paddington.nursery import open_bare_nursery
from paddington.waiters import Waiters

from ..jobs.job import Job
from ..limits import Limits
from ..logcontext import bound
from ..values import hot_value
from .ask import asking
from .envelope import Envelope
from .handlers import Handler
from .wall import call_handler

_log = logging.getLogger("templemeads.runner")

_Place = tuple[Peer, int]

_Source = tuple[Peer, str]


@hot_value
class Finished:
    """A handler has ended.

    Attributes:
        peer: Whose board the job is on.
        job: The finished job; where the handler was cancelled, the job as it was given to it.
        seconds: How long the handler ran.

    """

    peer: Peer
    job: Job
    seconds: float


@attrs.define(eq=False)
class _Running:
    scope: trio.CancelScope
    job: Job
    since: float
    wanted: bool = True
    done: trio.Event | None = None  # for whoever waits for its clean-up

    @property
    def command(self) -> str:
        """The beginning of what it does, for logs."""
        return str(self.job.instruction)[:80]


class Runner:
    """The handlers that run and the jobs that wait for one.

    Args:
        handler: Called for each job.
        limits: How many at once.
        make_envelope: Makes the envelope for the job of a peer, as it is now; None if there is nothing to run any more.
        on_finished: Called with the result of each handler, in the handler's task, without being awaited.
        on_cancelled: Called likewise with the unfinished job of each handler that was cancelled.

    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        make_envelope: Callable[[Peer, UUID], Envelope | None],
        on_finished: Callable[[Finished], None],
        on_cancelled: Callable[[Finished], None],
    ) -> None:
        self._nursery: trio.Nursery | None = None  # there is one while handlers may start
        self._handler = handler
        self._limits = limits
        self._make_envelope = make_envelope
        self._on_finished = on_finished
        self._on_cancelled = on_cancelled
        self._queues: OrderedDict[_Source, OrderedDict[int, UUID]] = OrderedDict()
        self._queued: dict[_Place, _Source] = {}
        self._running: dict[_Place, _Running] = {}
        self._again: set[_Place] = set()
        self._per_source: Counter[_Source] = Counter()
        self._per_peer: Counter[Peer] = Counter()
        self._stopped = False
        self._ended_one = Waiters()

    @property
    def running(self) -> int:
        """How many handlers run now."""
        return len(self._running)

    @property
    def handlers(self) -> list[tuple[Job, float]]:
        """The jobs whose handlers run now, each with the time when it began, in seconds on trio's clock."""
        return [(running.job, running.since) for running in self._running.values()]

    @property
    def waiting(self) -> int:
        """How many jobs wait for a handler."""
        return len(self._queued)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Run handlers inside the ``with`` block; jobs that came before wait for it. On leaving it they are cancelled."""
        async with open_bare_nursery() as nursery:
            self._nursery = nursery
            self._fill()
            try:
                yield
            finally:
                self._stopped = True
                nursery.cancel_scope.cancel(reason="the agent has stopped")

    def start(self, peer: Peer, job_id: UUID, origin: str | None = None) -> None:
        """Run the handler for a job as soon as there is a place.

        Args:
            peer: Whose board the job is on.
            job_id: The job.
            origin: The first agent of its path, by which places are shared out; the peer itself if left out.

        """
        source = peer, peer.name if origin is None else origin
        if not self._queues and self._has_room() and self._may_run(source):
            self._begin(source, job_id)
        else:
            self._enqueue(source, job_id)
            self._fill()

    def cancel(self, peer: Peer, job_id: UUID, reason: str) -> None:
        """Stop the handler of a job; its result, if it still returns one, is not asked for."""
        source = self._queued.pop((peer, job_id.int), None)
        if source is not None:
            queue = self._queues[source]
            del queue[job_id.int]
            if not queue:
                del self._queues[source]
        self._again.discard((peer, job_id.int))
        running = self._running.get((peer, job_id.int))
        if running is not None:
            running.wanted = False
            self._cancel(running, reason)

    async def drain(self) -> None:
        """Start nothing more, and wait until the handlers that run have ended."""
        self._stopped = True
        while self._running:
            await self._ended_one.wait()

    def cancel_all(self, reason: str) -> None:
        """Start nothing more, and cancel what runs; a handler that answers all the same has answered."""
        self._stopped = True
        for running in self._running.values():
            self._cancel(running, reason)

    # -- inside -------------------------------------------------------------------------------------------------

    def _enqueue(self, source: _Source, job_id: UUID) -> None:
        queue = self._queues.get(source)
        if queue is None:
            queue = self._queues[source] = OrderedDict()
        queue[job_id.int] = job_id
        self._queued[source[0], job_id.int] = source

    def _cancel(self, running: _Running, reason: str) -> None:
        running.scope.cancel(reason=reason)
        if running.done is None:
            running.done = trio.Event()
        if self._nursery is None:
            return
        self._nursery.start_soon(
            self._report_if_late, running, running.done, name=f"clean-up of {running.command}"
        )

    def _has_room(self) -> bool:
        return self._nursery is not None and not self._stopped and len(self._running) < self._limits.handlers

    def _may_run(self, source: _Source) -> bool:
        most = self._limits.handlers_per_peer
        # A peer can claim any origins for the jobs that it passes on, so some places are left for other peers in any case.
        most_of_peer = max(most, self._limits.handlers - max(1, most // 2))
        return self._per_source[source] < most and self._per_peer[source[0]] < most_of_peer

    def _fill(self) -> None:
        while self._has_room() and (source := next(filter(self._may_run, self._queues), None)) is not None:
            queue = self._queues[source]
            number, job_id = queue.popitem(last=False)
            del self._queued[source[0], number]
            self._queues.move_to_end(source)
            if not queue:
                del self._queues[source]
            self._begin(source, job_id)

    def _begin(self, source: _Source, job_id: UUID) -> None:
        peer, _ = source
        envelope = self._make_envelope(peer, job_id)
        if envelope is None:
            return
        place = peer, job_id.int
        if place in self._running:
            # A cancelled handler still cleans up after itself: two of one job must not run at once.
            self._again.add(place)
            return
        assert self._nursery is not None
        running = self._running[place] = _Running(trio.CancelScope(), envelope.job, trio.current_time())
        self._per_source[source] += 1
        self._per_peer[peer] += 1
        self._nursery.start_soon(
            self._run, source, place, envelope, running, name=f"handler of {envelope.job.command[:80]}"
        )

    async def _run(self, source: _Source, place: _Place, envelope: Envelope, running: _Running) -> None:
        peer, job = place[0], envelope.job
        result: Job | None = None
        with bound(peer=peer, job=job.id):
            try:
                with asking(job, peer.zone):
                    result = await call_handler(self._handler, envelope, running.scope)
            finally:
                self._ended(source, place, running)
            seconds = trio.current_time() - running.since
            if result is not None and running.wanted:
                self._on_finished(Finished(peer, result, seconds))
            else:
                self._on_cancelled(Finished(peer, job, seconds))
        if place in self._again:
            self._again.discard(place)
            self._enqueue(source, job.id)
        self._fill()

    def _ended(self, source: _Source, place: _Place, running: _Running) -> None:
        if running.done is not None:
            running.done.set()
        del self._running[place]
        peer, _ = place
        self._per_source[source] -= 1
        if not self._per_source[source]:
            del self._per_source[source]
        self._per_peer[peer] -= 1
        if not self._per_peer[peer]:
            del self._per_peer[peer]
        self._ended_one.wake()

    async def _report_if_late(self, running: _Running, done: trio.Event) -> None:
        with trio.CancelScope(shield=True), trio.move_on_after(self._limits.handler_cleanup_seconds):
            await done.wait()
        if not done.is_set():
            _log.error(
                "the handler of %s has not ended %g s after it was cancelled: it shields itself, or blocks the loop",
                ascii(running.command),
                self._limits.handler_cleanup_seconds,
            )
