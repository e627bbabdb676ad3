"""Everything an agent decides about jobs, without doing any of it.

The exchange holds the agent's boards, one per peer, and moves jobs between them. Each method is one step: it changes
boards and returns an `Outcome`, the list of what the shell must now write, send, run, cancel and tell. A step never
awaits, so a job that crosses from one board to the next is on both or on neither, in memory and in the store.

What comes in from a peer goes through three gates, in this order:

Gate 1. Place: the sender is our immediate neighbour in the path, on the right side (`route`).
Gate 2. Time: what has expired is not taken any more; a ``Put`` is told so.
Gate 3. The board's own rules (`board`).

Jobs stay in the zone in which they came. Source: the protocol page *jobs*, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

import attrs

from paddington import Peer

from ..errors import JobError, PeerNotFoundError, RefusedError
from ..limits import LARGEST_VERSION, Limits
from .board import Board, Change, Merged, require_same_command, size_of
from .commands import BadPut, Delete, Put, Sync, Update, encode, encode_bad_put_answer
from .error_info import ErrorInfo
from .job import Job, Status, printable
from .outcome import Answer, Cancel, Erase, Kind, Outcome, Refusal, Run, Send, Write
from .route import Flow, Place, place_of, require_from_after, require_from_before


def _always(_: object) -> bool:
    return True


@attrs.define(eq=False)
class Exchange:
    """The boards of one agent, and the rules by which jobs move between them.

    Attributes:
        name: The agent's own name in paths.
        is_neighbour: Tells whether a peer is configured, and so whether jobs can be sent to it at all.
        is_connected: Tells whether a peer is there now.
        limits: How much is taken on.
        payload_fits: Tells whether the text of a command can be sent in one frame.
        surely_fits: Characters of its own texts up to which a job need not be measured.
        check_owner: Raises `RefusedError` if a job that has arrived here asks for what is not its asker's
            (*newer-protocol*, section 10.3).

    """

    name: str
    is_neighbour: Callable[[Peer], bool] = _always
    is_connected: Callable[[Peer], bool] = _always
    limits: Limits = attrs.field(factory=Limits)
    payload_fits: Callable[[str], bool] = _always
    surely_fits: int = 0
    check_owner: Callable[[Peer, Job], object] | None = None
    _boards: dict[Peer, Board] = attrs.field(factory=dict, init=False)
    _at_work: set[tuple[Peer, int]] = attrs.field(factory=set, init=False)

    # -- looking ------------------------------------------------------------------------------------------------

    @property
    def boards(self) -> Mapping[Peer, Board]:
        """The boards by peer; not to be changed."""
        return self._boards

    def find(self, peer: Peer, job_id: UUID) -> Job | None:
        """Return a job from the board of a peer, or None."""
        board = self._boards.get(peer)
        return None if board is None else board.get(job_id)

    def numbered(self, peer: Peer, number: int) -> Job | None:
        """Return the job whose id is this number from the board of a peer, or None."""
        board = self._boards.get(peer)
        return None if board is None else board.numbered(number)

    @property
    def next_due(self) -> float | None:
        """When `sweep` should be called next, in seconds since 1970 UTC, or None if there is nothing to wait for."""
        return min(
            (due for board in self._boards.values() if (due := board.next_due) is not None), default=None
        )

    def board(self, peer: Peer) -> Board:
        """Return the board of a peer, a new one if need be.

        Raises:
            RefusedError: There are too many boards already.

        """
        board = self._boards.get(peer)
        if board is None:
            if len(self._boards) >= self.limits.boards:
                raise RefusedError(f"There are {len(self._boards)} boards already, which is the limit")
            board = self._boards[peer] = Board(self.limits)
        return board

    # -- from our own side --------------------------------------------------------------------------------------

    def submit(self, job: Job, peer: Peer, now: float) -> tuple[Job, Outcome]:
        """Put a job of our own on the board of the next agent in its path.

        Returns:
            The job as it is on the board: pending, or a duplicate of a pending one, or, if it was put before, as it
            has become since.

        Raises:
            PeerNotFoundError: There is no such peer.
            RefusedError: The path does not start here and lead there, or a limit is reached.
            StateError: The job is finished.

        """
        place = place_of(self.name, job.destination)
        if place is None or not place.is_first or place.after != peer.name:
            raise RefusedError(
                f"The path {str(job.destination)[:200]!r} does not lead from {self.name!r} to {peer.name!r}: "
                f"its first two agents must be these"
            )
        if not self.is_neighbour(peer):
            raise PeerNotFoundError(f"{self.name!r} has no peer {peer}")
        job = self._shortened(job.pending(now) if job.status is Status.CREATED else job, now)
        board = self.board(peer)
        if job.is_expired(now) and not job.is_finished and job.id not in board:
            raise RefusedError(f"The job {{{job.command[:200]}}} has expired before it was put")
        if (problem := self._too_large(job)) is not None:
            raise RefusedError(problem)
        outcome = Outcome()
        self._require_room_for_absent(peer, board, job)
        merged = board.put(job, now)
        if merged.change is Change.DELETED:
            raise RefusedError(f"The job {job.id} was deleted")
        if merged.change is not Change.UNCHANGED:
            self._record(peer, merged, outcome)
            if merged.job.status in (Status.PENDING, Status.RUNNING):
                outcome.sends.append(Send(peer, Kind.PUT, merged.job))
        return merged.job, outcome

    def withdraw(self, job: Job, peer: Peer, now: float) -> Outcome:
        """Delete a job of our own, here and along its path."""
        outcome = Outcome()
        # The deletion goes first, so that a duplicate that is reinstated does not meet its original again.
        outcome.sends.append(Send(peer, Kind.DELETE, job))
        self._remove(peer, job, now, outcome)
        return outcome

    def progress(self, peer: Peer, job_id: UUID, message: str | None, now: float) -> Outcome:
        """Record what a handler reports, and pass it back; a job that is gone or finished is left alone."""
        outcome = Outcome()
        job = self.find(peer, job_id)
        if job is not None and not job.is_finished:
            self._pass_back(peer, job.running(message, now=now), now, outcome)
        return outcome

    def finish(self, peer: Peer, job_id: UUID, result: Job, now: float) -> Outcome:
        """Record what a handler returned, and pass it back; a job that is gone or finished is left alone.

        Args:
            peer: Whose board the job is on.
            job_id: The job.
            result: A finished job, made from the job that the handler was given.
            now: Seconds since 1970 UTC.

        """
        outcome = Outcome()
        self._at_work.discard((peer, job_id.int))
        job = self.find(peer, job_id)
        if job is None or job.is_finished:
            return outcome
        ended = job.ended_as(result, origin=self.name, now=now)
        if (problem := self._too_large(ended)) is not None:
            ended = job.errored(problem, kind="run", origin=self.name, now=now)
        self._pass_back(peer, ended, now, outcome)
        return outcome

    def abandon(self, message: str, now: float) -> Outcome:
        """Let every unfinished job end with an error, stop its handler, and tell the agent before us.

        The agents after us learn of it by the next ``Sync``, which stops the job there too.

        Args:
            message: The error.
            now: Seconds since 1970 UTC.

        """
        outcome = Outcome()
        for peer, board in self._boards.items():
            for job in tuple(board):
                if job.is_finished:
                    continue
                there = board.get(job.id)
                assert there is not None
                if there.is_finished:
                    continue  # a duplicate that has ended with its original
                merged = board.merge(there.errored(message, kind="run", origin=self.name, now=now), now)
                self._record(peer, merged, outcome)
                self._stop(peer, job.id, "the agent restarts", outcome)
                if self._flow(peer, job) is Flow.UPSTREAM:
                    outcome.sends += [Send(peer, Kind.UPDATE, ended) for ended in (merged.job, *merged.ended)]
        return outcome

    def sweep(self, now: float) -> Outcome:
        """Let expired jobs fail, stop their handlers, tell the agents before us, forget what is long over."""
        outcome = Outcome()
        for peer, board in self._boards.items():
            if (due := board.next_due) is None or due > now:
                continue
            swept = board.sweep(now)
            for job in swept.expired:
                outcome.writes.append(Write(peer, job))
                if self._flow(peer, job) is Flow.UPSTREAM:
                    outcome.sends.append(Send(peer, Kind.UPDATE, job))
                self._stop(peer, job.id, "the job expired", outcome)
            outcome.writes += [Erase(peer, job_id) for job_id in swept.forgotten]
        return outcome

    # -- from peers ---------------------------------------------------------------------------------------------

    def receive(self, sender: Peer, command: Put | Update | Delete | Sync | BadPut, now: float) -> Outcome:
        """Take a command about jobs from a peer. Never raises: what is not taken is among the refusals."""
        outcome = Outcome()
        match command:
            case Put(job):
                self._guard(sender, job, now, outcome, self._receive_put)
            case Update(job):
                self._guard(sender, job, now, outcome, self._receive_update)
            case Delete(job):
                self._guard(sender, job, now, outcome, self._receive_delete)
            case Sync(jobs, bad_jobs):
                self._receive_sync(sender, jobs, now, outcome)
                for bad_job in bad_jobs:
                    outcome.refusals.append(Refusal(sender, "unreadable", f"Sync: {bad_job.reason}"))
            case BadPut(bad_job):
                outcome.refusals.append(Refusal(sender, "unreadable", f"Put: {bad_job.reason}"))
                refused = bad_job.refusal(int(now), LARGEST_VERSION)
                if refused is not None:
                    outcome.answers.append(Answer(sender, encode_bad_put_answer(refused)))
        return outcome

    def turn_away(self, sender: Peer, job: Job, message: str, now: float) -> Outcome:
        """Answer a ``Put`` with an error, without a look at it."""
        outcome = Outcome()
        outcome.refusals.append(Refusal(sender, "turned-away", f"{{{job.command[:200]}}}: {message}"))
        self._answer_refused(sender, job, message, "unroutable", now, outcome)
        return outcome

    def _guard(
        self,
        sender: Peer,
        job: Job,
        now: float,
        outcome: Outcome,
        take: Callable[[Peer, Job, float, Outcome], None],
    ) -> None:
        try:
            take(sender, job, now, outcome)
        except RefusedError as error:
            outcome.refusals.append(Refusal(sender, "refused", f"{{{job.command[:200]}}}: {error}"))
            if take == self._receive_put and not job.is_finished:
                self._answer_refused(sender, job, str(error), "unroutable", now, outcome)

    def _receive_put(self, sender: Peer, job: Job, now: float, outcome: Outcome) -> None:
        place = require_from_before(self.name, sender.name, job.destination)
        board = self.board(sender)
        if board.is_expired(job, now):
            outcome.refusals.append(Refusal(sender, "expired", f"{{{job.command[:200]}}} has expired"))
            if not job.is_finished:
                self._answer_refused(sender, job, "Job expired", "expired", now, outcome)
            return
        if job.is_finished:
            self._take_end_from_before(sender, place, job, now, outcome)
            return
        if job.status is Status.CREATED:
            raise RefusedError("the job is Created: it must be put before it is sent")
        merged = board.put(job, now)
        if merged.change is Change.DELETED:
            # A Put that the Delete overtook: its sender drops the answer. Or the sender has lost its memory of the
            # deletion, and would wait until the job expires.
            self._answer_refused(sender, job, "Job was deleted", "unknown", now, outcome)
            return
        if merged.job.status is Status.DUPLICATE and merged.job.original_id is not None and job == merged.job:
            merged = board.reinstate(job.id, now) or merged
        if merged.change is Change.UNCHANGED:
            if merged.job.is_finished:
                outcome.sends.append(Send(sender, Kind.UPDATE, merged.job))
            elif (
                (sender, job.id.int) in self._at_work
                or merged.job.status is Status.DUPLICATE
                or not place.is_last
            ):
                return
        else:
            self._record(sender, merged, outcome)
            if merged.job.is_finished:
                outcome.sends.append(Send(sender, Kind.UPDATE, merged.job))
            outcome.sends += [Send(sender, Kind.UPDATE, ended) for ended in merged.ended]
        if not merged.job.is_finished and merged.job.status is not Status.DUPLICATE:
            self._move_on(sender, place, merged.job, now, outcome)

    def _receive_update(self, sender: Peer, job: Job, now: float, outcome: Outcome) -> None:
        place = require_from_after(self.name, sender.name, job.destination)
        before = None if place.before is None else Peer(place.before, sender.zone)
        if before is not None and not self.is_neighbour(before):
            raise RefusedError(f"{self.name!r} has no peer {printable(str(before), 100)} to pass it back to")
        if job.status is Status.CREATED:
            raise RefusedError("the job is Created: an answer to it cannot be")
        board = self.board(sender)
        if board.is_expired(job, now):
            outcome.refusals.append(
                Refusal(sender, "expired", f"an update of {{{job.command[:200]}}} came too late")
            )
            return
        if (there := board.get(job.id)) is not None and there.is_finished:
            # Whoever waited has been told this end. The boards' total order would let a later version replace it, so
            # that ends which two agents gave independently meet somewhere; here the first one stays.
            require_same_command(there, job)
            return
        merged = board.merge(job, now)
        if merged.change is Change.DELETED:
            outcome.sends.append(Send(sender, Kind.DELETE, job))
        elif merged.change is not Change.UNCHANGED:
            self._record(sender, merged, outcome)
            if before is not None:
                self._pass_back(before, merged.job, now, outcome)

    def _receive_delete(self, sender: Peer, job: Job, now: float, outcome: Outcome) -> None:
        place = require_from_before(self.name, sender.name, job.destination)
        if not self.board(sender).is_expired(job, now):
            self._remove_beyond(sender, place, job, now, outcome)
            self._remove(sender, job, now, outcome)

    def _receive_sync(self, sender: Peer, jobs: tuple[Job, ...], now: float, outcome: Outcome) -> None:
        if len(jobs) > self.limits.sync_jobs:
            outcome.refusals.append(
                Refusal(
                    sender,
                    "sync",
                    f"a Sync of {len(jobs)} jobs is above the limit of {self.limits.sync_jobs}",
                )
            )
            return
        updates: list[Job] = []
        puts: list[Job] = []
        for job in jobs:
            place = place_of(self.name, job.destination)
            (updates if place is not None and place.after == sender.name else puts).append(job)
        for job in updates:
            if self._would_change(sender, job):
                self._guard(sender, job, now, outcome, self._receive_update)
        for job in puts:
            if self._would_change(sender, job):
                self._guard(sender, job, now, outcome, self._receive_put)

    def _would_change(self, sender: Peer, job: Job) -> bool:
        # What both sides hold alike, and what our own Sync will tell the peer better, needs no step here. An unfinished
        # job of which we hold the result is answered by our Sync; a deleted one by the Delete that follows our Sync.
        board = self._boards.get(sender)
        if board is None:
            return True
        there = board.get(job.id)
        return not (there is not None and (there == job or there.is_finished))

    # -- moving jobs --------------------------------------------------------------------------------------------

    def _move_on(self, sender: Peer, place: Place, job: Job, now: float, outcome: Outcome) -> None:
        """Run a job that has arrived, or put it on the next board."""
        if place.after is None:
            if (sender, job.id.int) in self._at_work:
                return
            try:
                if self.check_owner is not None:
                    self.check_owner(sender, job)
            except (RefusedError, JobError) as error:
                outcome.refusals.append(Refusal(sender, "owner", f"{{{job.command[:200]}}}: {error}"))
                self._fail(sender, job, str(error), "invalid", now, outcome)
                return
            self._at_work.add((sender, job.id.int))
            outcome.runs.append(Run(sender, job))
            return
        after = Peer(place.after, sender.zone)
        if not self.is_neighbour(after):
            problem = f"{self.name!r} knows no way to {place.after!r} in zone {sender.zone!r}"
            self._fail(sender, job, problem, "unroutable", now, outcome)
            return
        try:
            if (too_large := self._too_large(job)) is not None:
                raise RefusedError(too_large)
            board = self.board(after)
            self._require_room_for_absent(after, board, job)
            merged = board.merge(job, now)
        except RefusedError as error:
            self._fail(
                sender, job, f"{self.name!r} cannot pass the job on: {error}", "unroutable", now, outcome
            )
            return
        if merged.change in (Change.NEW, Change.NEWER):
            self._record(after, merged, outcome)
            outcome.sends.append(Send(after, Kind.PUT, merged.job))
        elif merged.change is Change.UNCHANGED and merged.job.is_finished:
            self._pass_back(sender, merged.job, now, outcome)
        elif merged.change is Change.DELETED:
            self._fail(sender, job, "Job was deleted", "unknown", now, outcome)

    def _pass_back(self, peer: Peer, job: Job, now: float, outcome: Outcome) -> None:
        """Record progress or a result on the board of the agent before us, and send it there."""
        try:
            merged = self.board(peer).merge(job, now)
        except RefusedError as error:
            outcome.refusals.append(Refusal(peer, "full", f"{{{job.command[:200]}}}: {error}"))
            return
        if merged.change in (Change.NEW, Change.NEWER):
            self._record(peer, merged, outcome)
            for changed in (merged.job, *merged.ended):
                outcome.sends.append(Send(peer, Kind.UPDATE, changed))

    def _fail(self, sender: Peer, job: Job, message: str, kind: str, now: float, outcome: Outcome) -> None:
        self._pass_back(sender, job.errored(message, kind=kind, origin=self.name, now=now), now, outcome)

    def _take_end_from_before(
        self, sender: Peer, place: Place, job: Job, now: float, outcome: Outcome
    ) -> None:
        """The agent before us holds an end of the job that it did not get from us: nobody waits for ours any more."""
        there = self.board(sender).get(job.id)
        if there is not None and there.is_finished:
            return
        merged = self.board(sender).merge(job, now)
        if merged.change in (Change.NEW, Change.NEWER):
            self._record(sender, merged, outcome)
            outcome.sends += [Send(sender, Kind.UPDATE, ended) for ended in merged.ended]
        if there is not None:
            self._stop(sender, job.id, "the agent before us has ended the job", outcome)
            self._remove_beyond(sender, place, job, now, outcome)

    def _remove(self, peer: Peer, job: Job, now: float, outcome: Outcome) -> None:
        board = self.board(peer)
        removed = board.remove(job, now)
        if removed.tombstone is not None:
            outcome.writes.append(Write(peer, removed.tombstone, deleted=True))
        outcome.writes += [Erase(peer, job_id) for job_id in removed.forgotten]
        self._stop(peer, job.id, "the job was deleted", outcome)
        outcome.writes += [Write(peer, changed) for changed in removed.changed]
        if removed.reinstated is not None:
            outcome.writes.append(Write(peer, removed.reinstated))
            place = place_of(self.name, removed.reinstated.destination)
            if place is not None and place.after == peer.name:
                outcome.sends.append(Send(peer, Kind.PUT, removed.reinstated))
            elif place is not None:
                self._move_on(peer, place, removed.reinstated, now, outcome)

    def _remove_beyond(self, sender: Peer, place: Place, job: Job, now: float, outcome: Outcome) -> None:
        if place.after is None:
            return
        after = Peer(place.after, sender.zone)
        if self.is_neighbour(after):
            outcome.sends.append(Send(after, Kind.DELETE, job))
            self._remove(after, job, now, outcome)

    def _stop(self, peer: Peer, job_id: UUID, reason: str, outcome: Outcome) -> None:
        if (peer, job_id.int) in self._at_work:
            self._at_work.discard((peer, job_id.int))
            outcome.cancels.append(Cancel(peer, job_id, reason))

    def _record(self, peer: Peer, merged: Merged, outcome: Outcome) -> None:
        outcome.writes.append(Write(peer, merged.job))
        if merged.ended:
            outcome.writes += [Write(peer, ended) for ended in merged.ended]

    def _answer_refused(
        self, sender: Peer, job: Job, message: str, kind: str, now: float, outcome: Outcome
    ) -> None:
        refused = attrs.evolve(
            job,
            status=Status.ERROR,
            result_text=message,
            result_type="Error",
            error=ErrorInfo(kind, message, self.name),
            version=job.version + 1000,
            changed=max(job.changed, int(now)),
        )
        if job.version <= LARGEST_VERSION:
            outcome.answers.append(Answer(sender, encode(Update(refused))))

    def _require_room_for_absent(self, peer: Peer, board: Board, job: Job) -> None:
        if (
            board.unfinished >= self.limits.jobs_for_absent
            and job.id not in board
            and not self.is_connected(peer)
        ):
            raise RefusedError(f"{peer} is away, and {board.unfinished} jobs wait for it already: the limit")

    # -- small questions ----------------------------------------------------------------------------------------

    def _flow(self, peer: Peer, job: Job) -> Flow | None:
        place = place_of(self.name, job.destination)
        return None if place is None else place.flow_to(peer.name)

    def _shortened(self, job: Job, now: float) -> Job:
        latest = int(now + self.limits.lifetime_seconds)
        return attrs.evolve(job, expires=latest) if job.expires > latest else job

    def _too_large(self, job: Job) -> str | None:
        if self.payload_fits is _always or size_of(job) <= self.surely_fits:
            return None
        # The longest command that a job travels in: with the next connection, what fitted an Update comes in a Sync.
        text = encode(Sync((job,)))
        if self.payload_fits(text):
            return None
        return f"The job is too large to send: its JSON text has {len(text)} characters, more than fits into one frame"

    # -- a connection begins ------------------------------------------------------------------------------------

    def sync_jobs(self, peer: Peer, now: float) -> tuple[UUID, ...]:
        """Return the ids of the jobs that a ``Sync`` to this peer tells of.

        Left out are expired jobs, as existing agents leave them out, and duplicates, which were not sent either.
        """
        board = self._boards.get(peer)
        if board is None:
            return ()
        return tuple(
            job.id for job in board if job.status is not Status.DUPLICATE and not board.is_expired(job, now)
        )

    def deleted_jobs(self, peer: Peer) -> tuple[Job, ...]:
        """Return the deleted jobs that a peer must be told of again, since it may have been away at the time."""
        board = self._boards.get(peer)
        if board is None:
            return ()
        return tuple(job for job in board.tombstones if self._flow(peer, job) is Flow.DOWNSTREAM)

    def restore(self, jobs: Iterable[Write], now: float) -> Outcome:
        """Take over what a store has kept; return what is to be run again."""
        outcome = Outcome()
        for kept in jobs:
            self.board(kept.peer).restore(kept.job, now, deleted=kept.deleted)
        for peer, board in self._boards.items():
            for job in board:
                place = place_of(self.name, job.destination)
                if place is None or place.before != peer.name or not place.is_last:
                    continue
                if job.status in (Status.PENDING, Status.RUNNING) and not board.is_expired(job, now):
                    self._at_work.add((peer, job.id.int))
                    outcome.runs.append(Run(peer, job))
        return outcome
