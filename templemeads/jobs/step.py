"""One step of an agent's exchange, with its time and its outcome.

What comes from a peer passes three gates, in this order:

Gate 1. Place: the sender is our immediate neighbour in the path, on the right side (`route`).
Gate 2. Time: an expired job is no longer accepted; the sender of a ``Put`` is told so.
Gate 3. The board's own rules (`board`).

Jobs stay in the zone in which they came. Source: the protocol page *jobs*, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

import attrs

from paddington import Peer

from ..errors import JobError, PeerNotFoundError, RefusedError, StateError
from ..limits import MAX_ACCEPTED_VERSION
from ..text import printable
from .board import EXPIRED, NOTHING_RELEASED, Board, Change, Merged, Released, require_same_command, size_of
from .boards import Boards
from .commands import BadPut, Delete, Put, Sync, Update, encode, encode_bad_put_answer
from .error_info import ErrorInfo
from .job import Job, Status
from .outcome import Answer, Cancel, Erase, Kind, Outcome, Refusal, Run, Send, Write
from .route import Flow, Place, flow_of, place_of, require_from_after, require_from_before
from .virtual import VirtualAgents


@attrs.define(eq=False)
class Step:
    """One step: what it works on, when, and what is to be done because of it.

    The public methods are those of `Exchange`, which describes them.
    """

    boards: Boards
    now: float
    outcome: Outcome = attrs.field(factory=Outcome, init=False)

    # -- from our own side --------------------------------------------------------------------------------------

    def submit(self, job: Job, peer: Peer) -> Job:
        """Put a job of our own on the board of the next agent in its path.

        Returns:
            The job as it is on the board: pending, or a duplicate of a pending one, or, if it was put before, as it
            has become since.

        Raises:
            PeerNotFoundError: There is no such peer.
            RefusedError: The path does not start here and lead there, or a limit is reached.
            StateError: The job is finished.

        """
        place = place_of(self.boards.name, job.destination)
        if place is None or not place.is_first or place.after != peer.name:
            raise RefusedError(
                f"The path {str(job.destination)[:200]!r} does not lead from {self.boards.name!r} to {peer.name!r}: "
                f"its first two agents must be these"
            )
        if not self.boards.is_neighbour(peer):
            raise PeerNotFoundError(f"{self.boards.name!r} has no peer {peer}")
        job = self._shortened(job.pending(self.now) if job.status is Status.CREATED else job)
        board = self.boards.board(peer)
        if job.is_expired(self.now) and not job.is_finished and job.id not in board:
            raise RefusedError(f"The job {{{job.command[:200]}}} has expired before it was put")
        if (problem := too_large(self.boards, peer, job)) is not None:
            raise RefusedError(problem)
        self._require_room_for_absent(peer, board, job)
        merged = board.put(job, self.now)
        if merged.change is Change.DELETED:
            raise RefusedError(f"The job {job.id} was deleted")
        if merged.change is not Change.UNCHANGED:
            self._record(peer, merged)
            if merged.job.status in (Status.PENDING, Status.RUNNING):
                self.outcome.sends.append(Send(peer, Kind.PUT, merged.job))
        return merged.job

    def withdraw(self, job: Job, peer: Peer) -> None:
        """Delete a job of our own, here and along its path."""
        # The deletion goes first, so that a duplicate that is reinstated does not meet its original again.
        self.outcome.sends.append(Send(peer, Kind.DELETE, job))
        self._remove(peer, job)

    def progress(self, peer: Peer, job_id: UUID, message: str | None) -> None:
        """Record what a handler reports, and pass it back; a job that is gone or finished is left alone."""
        job = self.boards.find(peer, job_id)
        if job is not None and not job.is_finished:
            self._pass_back(peer, job.running(message, now=self.now))

    def finish(self, peer: Peer, job_id: UUID, result: Job) -> None:
        """Record what a handler returned, and pass it back; a job that is gone or finished is left alone."""
        self.boards.running.discard((peer, job_id.int))
        job = self.boards.find(peer, job_id)
        if job is None or job.is_finished:
            return
        self._pass_back(peer, job.ended_as(result, origin=self.boards.name, now=self.now))

    def abandon(self, message: str) -> None:
        """Let every unfinished job end with an error, stop its handler, and tell the agent before us.

        The agents after us learn of it by the next ``Sync``, which stops the job there too.
        """
        for peer, board in tuple(self.boards.boards.items()):
            for job in tuple(board):
                if job.is_finished:
                    continue
                there = board.get(job.id)
                assert there is not None
                if there.is_finished:
                    continue  # a duplicate that has ended with its original
                merged = board.merge(
                    there.errored(message, kind="run", origin=self.boards.name, now=self.now), self.now
                )
                self._record(peer, merged)
                self._stop(peer, job.id, "the agent restarts")
                if flow_of(self.boards.name, peer.name, job) is Flow.UPSTREAM:
                    self.outcome.sends += [
                        Send(peer, Kind.UPDATE, ended) for ended in (merged.job, *merged.ended)
                    ]

    def sweep(self) -> None:
        """Let expired jobs fail, stop their handlers, tell the agents before us, forget what is long over."""
        # Duplicates that are set going may need a board that does not exist yet.
        for peer, board in tuple(self.boards.boards.items()):
            if (due := board.next_due) is None or due > self.now:
                continue
            swept = board.sweep(self.now)
            for job in swept.expired:
                self.outcome.writes.append(Write(peer, job))
                if flow_of(self.boards.name, peer.name, job) is Flow.UPSTREAM:
                    self.outcome.sends.append(Send(peer, Kind.UPDATE, job))
                self._stop(peer, job.id, "the job expired")
            for released in swept.released:
                self._set_going(peer, released)
            self.outcome.writes += [Erase(peer, job_id) for job_id in swept.forgotten]

    # -- from peers ---------------------------------------------------------------------------------------------

    def receive(self, sender: Peer, command: Put | Update | Delete | Sync | BadPut) -> None:
        """Take a command about jobs from a peer. Never raises: what is not taken is among the refusals."""
        match command:
            case Put(job):
                self._guard(sender, job, self._receive_put)
            case Update(job):
                self._guard(sender, job, self._receive_update)
            case Delete(job):
                self._guard(sender, job, self._receive_delete)
            case Sync(jobs, bad_jobs):
                self._receive_sync(sender, jobs)
                for bad_job in bad_jobs:
                    self.outcome.refusals.append(Refusal(sender, "unreadable", f"Sync: {bad_job.reason}"))
            case BadPut(bad_job):
                self.outcome.refusals.append(Refusal(sender, "unreadable", f"Put: {bad_job.reason}"))
                refused = bad_job.refusal(int(self.now), MAX_ACCEPTED_VERSION)
                if refused is not None:
                    self.outcome.answers.append(Answer(sender, encode_bad_put_answer(refused)))

    def turn_away(self, sender: Peer, job: Job, message: str) -> None:
        """Answer a ``Put`` with an error, without a look at it."""
        self.outcome.refusals.append(Refusal(sender, "turned-away", f"{{{job.command[:200]}}}: {message}"))
        self._answer_refused(sender, job, message, "unroutable")

    def _guard(
        self,
        sender: Peer,
        job: Job,
        take: Callable[[Peer, Job], None],
    ) -> None:
        try:
            take(sender, job)
        except RefusedError as error:
            self.outcome.refusals.append(Refusal(sender, "refused", f"{{{job.command[:200]}}}: {error}"))
            if take == self._receive_put and not job.is_finished:
                self._answer_refused(sender, job, str(error), "unroutable")

    def _receive_put(self, sender: Peer, job: Job) -> None:
        place = require_from_before(self.boards.name, sender.name, job.destination)
        board = self.boards.board(sender)
        if self._is_too_late(board, job):
            message = self._expired_message(job)
            self.outcome.refusals.append(Refusal(sender, "expired", f"{{{job.command[:200]}}}: {message}"))
            if not job.is_finished:
                self._answer_refused(sender, job, message, "expired")
            return
        if job.is_finished:
            self._take_end_from_before(sender, place, job)
            return
        if job.status is Status.CREATED:
            raise RefusedError("the job is Created: it must be put before it is sent")
        merged = board.put(job, self.now)
        if merged.change is Change.DELETED:
            # A Put that the Delete overtook: its sender drops the answer. Or the sender has lost its memory of the
            # deletion, and would wait until the job expires.
            self._answer_refused(sender, job, "Job was deleted", "unknown")
            return
        if merged.job.status is Status.DUPLICATE and merged.job.original_id is not None and job == merged.job:
            merged = board.reinstate(job.id, self.now) or merged
        if merged.change is Change.UNCHANGED:
            if merged.job.is_finished:
                self.outcome.sends.append(Send(sender, Kind.UPDATE, merged.job))
            elif (
                (sender, job.id.int) in self.boards.running
                or merged.job.status is Status.DUPLICATE
                or not place.is_last
            ):
                return
        else:
            self._record(sender, merged)
            if merged.job.is_finished:
                self.outcome.sends.append(Send(sender, Kind.UPDATE, merged.job))
            self.outcome.sends += [Send(sender, Kind.UPDATE, ended) for ended in merged.ended]
        if not merged.job.is_finished and merged.job.status is not Status.DUPLICATE:
            self._move_on(sender, place, merged.job)

    def _receive_update(self, sender: Peer, job: Job) -> None:
        place = require_from_after(self.boards.name, sender.name, job.destination)
        before = None if place.before is None else Peer(place.before, sender.zone)
        if before is not None and not self.boards.is_neighbour(before):
            raise RefusedError(
                f"{self.boards.name!r} has no peer {printable(str(before), 100)} to pass it back to"
            )
        if job.status is Status.CREATED:
            raise RefusedError("the job is Created: an answer to it cannot be")
        board = self.boards.board(sender)
        there = board.get(job.id)
        # Of a job that still waits, an answer that comes is better than the expiry that is about to come.
        if (there is None or there.is_finished) and board.is_expired(job, self.now):
            self.outcome.refusals.append(
                Refusal(
                    sender,
                    "expired",
                    f"an update of {{{job.command[:200]}}} came too late: {self._expired_message(job)}",
                )
            )
            return
        if there is not None and there.is_finished:
            # Whoever waited has been told this end. The boards' total order would let a later version replace it, so
            # that ends which two agents gave independently meet somewhere; here the first one stays.
            require_same_command(there, job)
            return
        merged = board.merge(job, self.now)
        if merged.change is Change.DELETED:
            self.outcome.sends.append(Send(sender, Kind.DELETE, job))
        elif merged.change is not Change.UNCHANGED:
            self._record(sender, merged)
            if before is not None:
                self._pass_back(before, merged.job)

    def _receive_delete(self, sender: Peer, job: Job) -> None:
        place = require_from_before(self.boards.name, sender.name, job.destination)
        if not self.boards.board(sender).is_expired(job, self.now):
            self._remove_beyond(sender, place, job)
            self._remove(sender, job)

    def _receive_sync(self, sender: Peer, jobs: tuple[Job, ...]) -> None:
        if len(jobs) > self.boards.limits.sync_jobs:
            self.outcome.refusals.append(
                Refusal(
                    sender,
                    "sync",
                    f"a Sync of {len(jobs)} jobs is above the limit of {self.boards.limits.sync_jobs}",
                )
            )
            return
        updates: list[Job] = []
        puts: list[Job] = []
        for job in jobs:
            place = place_of(self.boards.name, job.destination)
            (updates if place is not None and place.after == sender.name else puts).append(job)
        for job in updates:
            if self._would_change(sender, job):
                self._guard(sender, job, self._receive_update)
        for job in puts:
            if self._would_change(sender, job):
                self._guard(sender, job, self._receive_put)

    def _would_change(self, sender: Peer, job: Job) -> bool:
        # What both sides hold alike, and what our own Sync will tell the peer better, needs no step here. An unfinished
        # job of which we hold the result is answered by our Sync; a deleted one by the Delete that follows our Sync.
        board = self.boards.boards.get(sender)
        if board is None:
            return True
        there = board.get(job.id)
        return not (there is not None and (there == job or there.is_finished))

    # -- moving jobs --------------------------------------------------------------------------------------------

    def _move_on(self, sender: Peer, place: Place, job: Job) -> None:
        """Run a job that has arrived, or put it on the next board."""
        if place.after is None:
            self._run_here(sender, job)
            return
        after = Peer(place.after, sender.zone)
        if not self.boards.is_neighbour(after):
            if self.boards.virtual is not None and job.destination.agents[-1] == place.after:
                self._to_virtual(self.boards.virtual, sender, after, job)
                return
            problem = f"{self.boards.name!r} knows no way to {place.after!r} in zone {sender.zone!r}"
            self._fail(sender, job, problem, "unroutable")
            return
        try:
            if (excess := too_large(self.boards, after, job)) is not None:
                raise RefusedError(excess)
            board = self.boards.board(after)
            self._require_room_for_absent(after, board, job)
            merged = board.merge(job, self.now)
        except RefusedError as error:
            self._fail(sender, job, f"{self.boards.name!r} cannot pass the job on: {error}", "unroutable")
            return
        if merged.change in (Change.NEW, Change.NEWER):
            self._record(after, merged)
            self.outcome.sends.append(Send(after, Kind.PUT, merged.job))
        elif merged.change is Change.UNCHANGED and merged.job.is_finished:
            self._pass_back(sender, merged.job)
        elif merged.change is Change.DELETED:
            self._fail(sender, job, "Job was deleted", "unknown")

    def _run_here(self, sender: Peer, job: Job) -> None:
        if (sender, job.id.int) in self.boards.running:
            return
        try:
            if self.boards.check_owner is not None:
                self.boards.check_owner(sender, job)
        except (RefusedError, JobError) as error:
            self.outcome.refusals.append(Refusal(sender, "owner", f"{{{job.command[:200]}}}: {error}"))
            self._fail(sender, job, str(error), "invalid")
            return
        self.boards.running.add((sender, job.id.int))
        self.outcome.runs.append(Run(sender, job))

    def _to_virtual(self, virtual: VirtualAgents, sender: Peer, name: Peer, job: Job) -> None:
        """Run a job for a virtual agent, or let it wait on its sender's board until there is such an agent."""
        if name in virtual.offered:
            self._run_here(sender, job)
            return
        if len(virtual.waiting) >= self.boards.limits.jobs_for_absent:
            self._forget_waiting(virtual)
        if len(virtual.waiting) >= self.boards.limits.jobs_for_absent:
            problem = f"{len(virtual.waiting)} jobs wait for resources that are not offered: the limit"
            self._fail(sender, job, problem, "unroutable")
            return
        virtual.waiting[sender, job.id.int] = None

    def _forget_waiting(self, virtual: VirtualAgents) -> None:
        for peer, number in tuple(virtual.waiting):
            job = self.boards.numbered(peer, number)
            if job is None or job.is_finished:
                del virtual.waiting[peer, number]

    def _is_for_virtual(self, sender: Peer, place: Place, job: Job) -> bool:
        return (
            self.boards.virtual is not None
            and place.after is not None
            and job.destination.agents[-1] == place.after
            and not self.boards.is_neighbour(Peer(place.after, sender.zone))
        )

    def offer(self, names: frozenset[Peer]) -> None:
        """Answer to these names from now on, and run the jobs that wait for them."""
        virtual = self.boards.virtual
        if virtual is None:
            raise StateError(f"{self.boards.name!r} has no virtual agents")
        virtual.offered = names
        self._forget_waiting(virtual)
        for peer, number in tuple(virtual.waiting):
            job = self.boards.numbered(peer, number)
            assert job is not None
            if Peer(job.destination.agents[-1], peer.zone) in names:
                del virtual.waiting[peer, number]
                self._run_here(peer, job)

    def _pass_back(self, peer: Peer, job: Job) -> None:
        """Record progress or a result on the board of the agent before us, and send it there.

        A result that it cannot receive ends as an error that says so; such a report of progress is left out.
        """
        if (problem := too_large(self.boards, peer, job)) is not None:
            self.outcome.refusals.append(Refusal(peer, "too-large", f"{{{job.command[:200]}}}: {problem}"))
            if not job.is_finished:
                return
            job = job.unsendable(problem, origin=self.boards.name, now=self.now)
        try:
            merged = self.boards.board(peer).merge(job, self.now)
        except RefusedError as error:
            self.outcome.refusals.append(Refusal(peer, "full", f"{{{job.command[:200]}}}: {error}"))
            return
        if merged.change in (Change.NEW, Change.NEWER):
            self._record(peer, merged)
            for changed in (merged.job, *merged.ended):
                self.outcome.sends.append(Send(peer, Kind.UPDATE, changed))

    def cannot_send(self, peer: Peer, job_id: UUID) -> None:
        """End a job with an error if the peer that it is to be sent to cannot receive it."""
        job = self.boards.find(peer, job_id)
        if job is None or (problem := too_large(self.boards, peer, job)) is None:
            return
        place = place_of(self.boards.name, job.destination)
        is_for_next = place is not None and place.after == peer.name
        if job.is_finished and is_for_next:
            return  # the next agent knows: the result came from there
        self.outcome.refusals.append(Refusal(peer, "too-large", f"{{{job.command[:200]}}}: {problem}"))
        failed = job.unsendable(problem, origin=self.boards.name, now=self.now)
        fits = too_large(self.boards, peer, failed) is None
        if job.is_finished and not fits:
            return  # even the error is too large, since it repeats the command
        try:
            merged = self.boards.board(peer).merge(failed, self.now)
        except RefusedError:
            return  # its version cannot grow: it expires
        self._record(peer, merged)
        self._stop(peer, job_id, "the job is too large to send")
        if not is_for_next:
            if fits:
                self.outcome.sends += [
                    Send(peer, Kind.UPDATE, ended) for ended in (merged.job, *merged.ended)
                ]
        elif place is not None and place.before is not None:
            self._pass_back(Peer(place.before, peer.zone), merged.job)

    def _fail(self, sender: Peer, job: Job, message: str, kind: str) -> None:
        self._pass_back(sender, job.errored(message, kind=kind, origin=self.boards.name, now=self.now))

    def _take_end_from_before(self, sender: Peer, place: Place, job: Job) -> None:
        """The agent before us holds an end of the job that it did not get from us: nobody waits for ours any more."""
        there = self.boards.board(sender).get(job.id)
        if there is not None and there.is_finished:
            return
        merged = self.boards.board(sender).merge(job, self.now)
        if merged.change in (Change.NEW, Change.NEWER):
            self._record(sender, merged)
            self.outcome.sends += [Send(sender, Kind.UPDATE, ended) for ended in merged.ended]
        if there is not None:
            self._stop(sender, job.id, "the agent before us has ended the job")
            self._remove_beyond(sender, place, job)

    def _remove(self, peer: Peer, job: Job) -> None:
        board = self.boards.board(peer)
        removed = board.remove(job, self.now)
        if removed.tombstone is not None:
            self.outcome.writes.append(Write(peer, removed.tombstone, deleted=True))
        self.outcome.writes += [Erase(peer, job_id) for job_id in removed.forgotten]
        self._stop(peer, job.id, "the job was deleted")
        self._set_going(peer, removed.released)

    def _set_going(self, peer: Peer, released: Released) -> None:
        """Send or run the duplicate that has become a job of its own."""
        self.outcome.writes += [Write(peer, changed) for changed in released.others]
        job = released.first
        if job is None:
            return
        self.outcome.writes.append(Write(peer, job))
        place = place_of(self.boards.name, job.destination)
        if place is not None and place.after == peer.name:
            self.outcome.sends.append(Send(peer, Kind.PUT, job))
        elif place is not None:
            self._move_on(peer, place, job)

    def _remove_beyond(self, sender: Peer, place: Place, job: Job) -> None:
        if place.after is None:
            return
        after = Peer(place.after, sender.zone)
        if self.boards.is_neighbour(after):
            self.outcome.sends.append(Send(after, Kind.DELETE, job))
            self._remove(after, job)

    def _stop(self, peer: Peer, job_id: UUID, reason: str) -> None:
        if (peer, job_id.int) in self.boards.running:
            self.boards.running.discard((peer, job_id.int))
            self.outcome.cancels.append(Cancel(peer, job_id, reason))

    def _record(self, peer: Peer, merged: Merged) -> None:
        self.outcome.writes.append(Write(peer, merged.job))
        if merged.ended:
            self.outcome.writes += [Write(peer, ended) for ended in merged.ended]
        if merged.released is not NOTHING_RELEASED:
            self._set_going(peer, merged.released)

    def _answer_refused(self, sender: Peer, job: Job, message: str, kind: str) -> None:
        refused = attrs.evolve(
            job,
            status=Status.ERROR,
            result_text=message,
            result_type="Error",
            error=ErrorInfo(kind, message, self.boards.name),
            version=job.version + 1000,
            changed=max(job.changed, int(self.now)),
        )
        if job.version <= MAX_ACCEPTED_VERSION:
            self.outcome.answers.append(Answer(sender, encode(Update(refused))))

    def _require_room_for_absent(self, peer: Peer, board: Board, job: Job) -> None:
        if (
            board.unfinished >= self.boards.limits.jobs_for_absent
            and job.id not in board
            and not self.boards.is_connected(peer)
        ):
            raise RefusedError(f"{peer} is away, and {board.unfinished} jobs wait for it already: the limit")

    # -- small questions ----------------------------------------------------------------------------------------

    def _is_too_late(self, board: Board, job: Job) -> bool:
        """Whether a ``Put`` comes too late: not if its result is here, nor while its handler runs."""
        there = board.get(job.id)
        return (there is None or not there.is_finished) and board.is_expired(job, self.now)

    def _expired_message(self, job: Job) -> str:
        """Return how long ago a job expired, and by which clock: the sender's may differ."""
        longest = self.boards.limits.lifetime_seconds
        late = max(0, round(self.now - min(job.expires, job.created + longest)))
        return f"{EXPIRED} {late} s ago by this agent's clock ({self.boards.name})"

    def _shortened(self, job: Job) -> Job:
        latest = int(self.now + self.boards.limits.lifetime_seconds)
        return attrs.evolve(job, expires=latest) if job.expires > latest else job

    def restore(self, jobs: Iterable[Write]) -> None:
        """Take over what a store has kept; return what is to be run again."""
        for kept in jobs:
            self.boards.board(kept.peer).restore(kept.job, self.now, deleted=kept.deleted)
        for peer, board in self.boards.boards.items():
            for job in board:
                place = place_of(self.boards.name, job.destination)
                if place is None or place.before != peer.name:
                    continue
                if job.status not in (Status.PENDING, Status.RUNNING) or board.is_expired(job, self.now):
                    continue
                if self._is_for_virtual(peer, place, job):
                    assert self.boards.virtual is not None
                    self.boards.virtual.waiting[peer, job.id.int] = None
                elif place.is_last:
                    self.boards.running.add((peer, job.id.int))
                    self.outcome.runs.append(Run(peer, job))


def too_large(boards: Boards, peer: Peer, job: Job) -> str | None:
    """Return why a peer cannot receive a job, in one sentence, or None if it can."""
    if boards.payload_fits is None or size_of(job) <= boards.surely_fits:
        return None
    # The longest command that a job travels in: with the next connection, what fitted an Update comes in a Sync.
    text = encode(Sync((job,)))
    if boards.payload_fits(peer, text):
        return None
    return (
        f"The job is too large to send: its JSON text has {len(text)} characters, "
        f"more than {peer} accepts in one message"
    )
