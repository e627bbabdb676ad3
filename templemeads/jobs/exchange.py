"""Everything an agent decides about jobs, without doing any of it.

The exchange holds the agent's boards, one per peer, and moves jobs between them. Each method is one step: it changes
boards and returns an `Outcome`, the list of what the shell must now write, send, run and cancel. A step never awaits,
so a job that crosses from one board to the next is on both or on neither, in memory and in the store. How each step
decides is in `step`; this is the list of steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import attrs

from paddington import Peer

from .boards import Boards
from .commands import BadPut, Delete, Put, Sync, Update
from .job import Job, Status
from .outcome import Outcome, Write
from .route import Flow, flow_of
from .step import Step, too_large


@attrs.define(eq=False)
class Exchange(Boards):
    """The boards of one agent, and the steps by which jobs move between them.

    In all methods, ``now`` is in seconds since 1970 UTC.
    """

    # -- from our own side --------------------------------------------------------------------------------------

    def submit(self, job: Job, peer: Peer, now: float) -> tuple[Job, Outcome]:
        """Put a job of our own on the board of the next agent in its path.

        Returns:
            The job as it is on the board: pending, or a duplicate of a pending one, or, if it was put before, its
            current state.

        Raises:
            PeerNotFoundError: There is no such peer.
            RefusedError: The path does not start here and lead there, or a limit is reached.
            StateError: The job is finished.

        """
        step = Step(self, now)
        return step.submit(job, peer), step.outcome

    def withdraw(self, job: Job, peer: Peer, now: float) -> Outcome:
        """Delete a job of our own, here and along its path."""
        step = Step(self, now)
        step.withdraw(job, peer)
        return step.outcome

    def progress(self, peer: Peer, job_id: UUID, message: str | None, now: float) -> Outcome:
        """Record what a handler reports, and pass it back; a job that is gone or finished is left alone."""
        step = Step(self, now)
        step.progress(peer, job_id, message)
        return step.outcome

    def finish(self, peer: Peer, job_id: UUID, result: Job, now: float) -> Outcome:
        """Record what a handler returned, and pass it back; a job that is gone or finished is left alone.

        Args:
            peer: Whose board the job is on.
            job_id: The job.
            result: A finished job, made from the job that the handler was given.
            now: Seconds since 1970 UTC.

        """
        step = Step(self, now)
        step.finish(peer, job_id, result)
        return step.outcome

    def abandon(self, message: str, now: float) -> Outcome:
        """End every unfinished job with an error, stop its handler, and tell the agent before us.

        The agents after us learn of it from the next ``Sync``, which stops the job there too.

        Args:
            message: The error.
            now: Seconds since 1970 UTC.

        """
        step = Step(self, now)
        step.abandon(message)
        return step.outcome

    def sweep(self, now: float) -> Outcome:
        """End expired jobs, stop their handlers, tell the agents before us, and forget what is long over."""
        step = Step(self, now)
        step.sweep()
        return step.outcome

    def clock_set(self, seconds: float) -> None:
        """Take note that the system's clock has been set forward by so many seconds (backward if below 0).

        From now on ``now`` includes the step. Deadlines of jobs that are on the boards do not move.
        """
        self.clock.seconds += seconds

    def offer(self, names: frozenset[Peer], now: float) -> Outcome:
        """Answer to these names beside our own, and to no others; run the jobs that wait for them.

        Raises:
            StateError: This agent has no virtual agents.

        """
        step = Step(self, now)
        step.offer(names)
        return step.outcome

    # -- from peers ---------------------------------------------------------------------------------------------

    def receive(self, sender: Peer, command: Put | Update | Delete | Sync | BadPut, now: float) -> Outcome:
        """Apply a command about jobs from a peer. Never raises: what is not accepted is among the refusals."""
        step = Step(self, now)
        step.receive(sender, command)
        return step.outcome

    def turn_away(self, sender: Peer, job: Job, message: str, now: float) -> Outcome:
        """Answer a ``Put`` with an error without looking at it."""
        step = Step(self, now)
        step.turn_away(sender, job, message)
        return step.outcome

    def is_too_large(self, peer: Peer, job: Job) -> bool:
        """Tell whether a peer cannot receive a job."""
        return too_large(self, peer, job) is not None

    def cannot_send(self, peer: Peer, job_id: UUID, now: float) -> Outcome:
        """End a job with an error if the peer that it is to be sent to cannot receive it.

        Jobs are measured before they are put on a board, but a peer may reconnect with a smaller limit.
        """
        step = Step(self, now)
        step.cannot_send(peer, job_id)
        return step.outcome

    # -- a connection begins ------------------------------------------------------------------------------------

    def sync_jobs(self, peer: Peer, now: float) -> tuple[UUID, ...]:
        """Return the ids of the jobs that a ``Sync`` to this peer contains.

        Left out are expired jobs, as existing agents leave them out, and duplicates, which were not sent either.
        """
        board = self.boards.get(peer)
        if board is None:
            return ()
        return tuple(
            job.id for job in board if job.status is not Status.DUPLICATE and not board.is_expired(job, now)
        )

    def deleted_jobs(self, peer: Peer) -> tuple[Job, ...]:
        """Return the deleted jobs to be sent to a peer again, since it may have been away when they were deleted."""
        board = self.boards.get(peer)
        if board is None:
            return ()
        return tuple(job for job in board.tombstones if flow_of(self.name, peer.name, job) is Flow.DOWNSTREAM)

    def restore(self, jobs: Iterable[Write], now: float) -> Outcome:
        """Take over what a store has kept; return what is to be run again."""
        step = Step(self, now)
        step.restore(jobs)
        return step.outcome
