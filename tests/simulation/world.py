"""Real agents in a world where everything breaks, and the books that are kept of every job.

The agents stand in a row and are whole (`open_agent`); lines and disks are simulated (`wires`, `disks`), the clock is a
mock. A script says what happens; `World.check` holds after every step of it, `World.settle` makes everything whole again
and checks that all promises were kept.

What is checked, and when:

always      at most one handler runs for a job of an agent; no handler is called for a job whose answer is on disk; what is
            finished on a disk, or was told to a caller, stays as it is; queues are within their bounds
in the end  each accepted job is finished as its sender sees it, with the answer of a handler unless the script made it
            expire or deleted it; both boards of each line are equal; nothing runs, nobody waits
after that  when all has expired, boards and disks are empty
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import attrs
import trio

from paddington import Limits as LineLimits
from paddington import Peer
from templemeads import (
    Agent,
    AgentConfig,
    AgentStoppedError,
    Envelope,
    Job,
    JobError,
    Limits,
    RefusedError,
    StateError,
    Status,
    StoreError,
    open_agent,
)
from templemeads.jobs.board import size_of
from templemeads.jobs.outcome import Write
from templemeads.testing.networks import calendar, chain_configs

from .disks import Disk
from .handshakes import Handshakes
from .wires import Wires

Final = tuple[Status, str | None]


@attrs.frozen
class Work:
    """What a handler does for the jobs of one user.

    Attributes:
        seconds: How long it works.
        reports: How many times it reports progress meanwhile.
        ending: `value`, `error` or `raise`.
        cleanup: Seconds of shielded clean-up when it is cancelled.
    """

    seconds: float = 0.0
    reports: int = 0
    ending: str = "value"
    cleanup: float = 0.0


@attrs.define(eq=False)
class Entry:
    """The book of one job."""

    job: Job
    sender: str
    peer: Peer
    accepted: bool = False
    told: Final | None = None
    deleted: bool = False
    delete_returned: bool = False
    may_fail: bool = False
    """Whether something was done to it that entitles it to another end than its handler's answer."""


@attrs.define(eq=False)
class Life:
    """One life of an agent: from its start to its stop or crash."""

    name: str
    agent: Agent | None = None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    up: trio.Event = attrs.field(factory=trio.Event)
    stopping: trio.Event = attrs.field(factory=trio.Event)
    over: trio.Event = attrs.field(factory=trio.Event)
    dead: bool = False
    disk_failed: bool = False
    nursery: trio.Nursery | None = None
    running: Counter[UUID] = attrs.field(factory=Counter)


class World:
    """Agents in a row; made by `run_world`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        random: Random,
        *,
        names: Sequence[str],
        configs: dict[str, AgentConfig],
        works: Sequence[Work] = (Work(),),
        slow_line: float = 0.05,
        slow_disk: float = 0.02,
        skew: dict[str, float] | None = None,
        handshakes: bool = False,
    ) -> None:
        self.nursery = nursery
        self.names = names
        self.configs = configs
        self.works = works
        self.skew = skew or {}
        self.problems: list[str] = []
        self.wires = Handshakes(names) if handshakes else Wires(random, slow_line, self._unexpected)
        self.disks = {name: Disk(random, slow_disk, self._kept_by(name)) for name in names}
        self.lives: dict[str, Life] = {}
        self.entries: list[Entry] = []
        self.calls: Counter[tuple[str, UUID]] = Counter()
        self.finals: dict[tuple[str, Peer, UUID], Final] = {}
        self.answered: set[tuple[str, UUID]] = set()
        self.waited: set[tuple[str, UUID]] = set()
        self.restarts = 0
        self._number = 0

    # -- lives ------------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start an agent that is not up."""
        life = self.lives.get(name)
        if life is None or life.dead or life.over.is_set():
            self.lives[name] = life = Life(name)
            life.disk_failed = self.disks[name].fails
            self.nursery.start_soon(self._live, life, name=f"life of {name}")

    def crash(self, name: str) -> None:
        """End an agent as a power cut does: between two checkpoints, without a word, losing what is not synced."""
        life = self.lives.get(name)
        if life is not None and not life.dead and not life.over.is_set():
            life.dead = True
            self.disks[name].crash()
            self.wires.drop(name)
            life.scope.cancel(reason="crash")
            self._check_kept(name)

    def stop(self, name: str) -> None:
        """Ask an agent to stop in order."""
        if name in self.lives:
            self.lives[name].stopping.set()

    async def _live(self, life: Life) -> None:
        config = self.configs[life.name]
        skew = self.skew.get(life.name, 0.0)
        try:
            with life.scope:
                async with (
                    open_agent(
                        config,
                        self._handler(life),
                        store=partial(self.disks[life.name].open, is_dead=lambda: life.dead),
                        transport=self.wires.open,
                        clock=lambda: calendar() + skew,
                    ) as agent,
                    trio.open_nursery() as nursery,
                ):
                    life.agent, life.nursery = agent, nursery
                    life.up.set()
                    for entry in self.entries:
                        if entry.sender == life.name and entry.accepted and not entry.deleted:
                            nursery.start_soon(self._put, life, entry)
                    try:
                        await life.stopping.wait()
                    finally:
                        life.nursery = None
                        nursery.cancel_scope.cancel()
        except* StoreError as error:
            if not life.disk_failed:
                self._unexpected(error)
        except* Exception as error:
            self._unexpected(error)
        finally:
            if not life.dead:
                life.dead = True
                self.disks[life.name].crash()
                self._check_kept(life.name)
            life.over.set()

    @property
    def alive(self) -> Iterator[tuple[str, Agent]]:
        """Agents that are up."""
        for name, life in self.lives.items():
            if life.agent is not None and not life.dead:
                yield name, life.agent

    def agent(self, name: str) -> Agent | None:
        life = self.lives.get(name)
        return None if life is None or life.dead else life.agent

    def soft_restart(self, name: str) -> None:
        """Let an agent begin afresh: its unfinished jobs end with that error."""
        life = self.lives.get(name)
        if life is not None and not life.dead and life.nursery is not None and life.agent is not None:
            for entry in self.entries:
                entry.may_fail = entry.may_fail or name in entry.job.destination.agents
            self.restarts += 1
            life.nursery.start_soon(life.agent.soft_restart)

    def fail_disk(self, name: str) -> None:
        """Let every commit of an agent fail from now on, until it is started again at the end."""
        self.disks[name].fails = True
        if name in self.lives:
            self.lives[name].disk_failed = True

    # -- what users do ----------------------------------------------------------------------------------------------

    def put(self, sender: str, receiver: str, user: int, lifetime: float) -> None:
        """Put a job, and wait for its result, for as long as the sender lives."""
        life = self.lives.get(sender)
        if life is None or life.dead or life.nursery is None:
            return
        first, last = self.names.index(sender), self.names.index(receiver)
        step = 1 if last > first else -1
        path = [self.names[index] for index in range(first, last + step, step)]
        self._number += 1
        assert life.agent is not None
        job = Job.parse(
            f"{'.'.join(path)} add_user u{user}.proj.{sender}", lifetime=lifetime, now=life.agent.now()
        )
        job = attrs.evolve(job, id=UUID(int=self._number))
        entry = Entry(job, sender, Peer(path[1]))
        entry.may_fail = (
            self.restarts > 0 or lifetime < LONG or any(abs(seconds) > 60 for seconds in self.skew.values())
        )
        self.entries.append(entry)
        life.nursery.start_soon(self._put, life, entry, name=f"put of job {self._number}")

    def put_again(self, index: int) -> None:
        """Put a job that was put before."""
        entry = self._entry(index)
        life = None if entry is None else self.lives[entry.sender]
        if entry is not None and life is not None and not life.dead and life.nursery is not None:
            life.nursery.start_soon(self._put, life, entry)

    def delete(self, index: int) -> None:
        """Delete a job."""
        entry = self._entry(index)
        life = None if entry is None else self.lives[entry.sender]
        if (
            entry is not None
            and entry.accepted
            and life is not None
            and not life.dead
            and life.nursery is not None
        ):
            life.nursery.start_soon(self._delete, life, entry)

    def _entry(self, index: int) -> Entry | None:
        return self.entries[index % len(self.entries)] if self.entries else None

    async def _put(self, life: Life, entry: Entry) -> None:
        assert life.agent is not None
        try:
            kept = await entry.job.put(life.agent.peer(entry.peer.name))
            if life.dead:
                return
            entry.accepted = True
            async with contextlib.aclosing(kept.updates()) as changes:
                async for change in changes:
                    if life.dead:
                        return
                    if change.is_finished:
                        self._tell(entry, change)
        except (AgentStoppedError, StoreError):
            pass
        except (JobError, RefusedError, StateError) as error:
            if "has expired before it was put" in str(error):
                self._tell_expired(life.agent, entry)
            elif not self._expects(entry, error) and not life.dead:
                self.problems.append(f"job {entry.job.id.int}: {error}")

    def _expects(self, entry: Entry, error: Exception) -> bool:
        text = str(error)
        if "was deleted" in text or "removed from board" in text:
            return entry.deleted
        if "is stopping" in text:
            return True
        return entry.may_fail

    async def _delete(self, life: Life, entry: Entry) -> None:
        assert life.agent is not None
        job = entry.job.pending(life.agent.now()).kept_by(life.agent.peer(entry.peer.name))
        entry.deleted = True
        with contextlib.suppress(StoreError):
            await job.delete()
            if not life.dead:
                entry.delete_returned = True

    def _tell_expired(self, agent: Agent, entry: Entry) -> None:
        # Whoever asks for a job only after it has left the board is told that it expired; its end was told before, if
        # anybody was there to hear it.
        if not entry.may_fail or entry.job.id in agent.exchange.board(entry.peer):
            self.problems.append(f"job {entry.job.id.int} expired, and its sender is not told its end")
        if entry.told is None:
            entry.told = Status.ERROR, "Job expired"

    def _tell(self, entry: Entry, job: Job) -> None:
        final = job.status, job.result_text
        if entry.told is None:
            entry.told = final
        elif entry.told != final:
            self.problems.append(f"job {job.id.int} was {entry.told} and is {final} for its sender")

    # -- what handlers do --------------------------------------------------------------------------------------------

    def _handler(self, life: Life) -> Any:
        async def handle(envelope: Envelope) -> Job:
            job = envelope.job
            work = self.works[int(job.instruction.user.username[1:]) % len(self.works)]
            if not life.dead:
                self.calls[life.name, job.id] += 1
                life.running[job.id] += 1
                if life.running[job.id] > 1:
                    self.problems.append(f"two handlers of {life.name} run job {job.id.int} at once")
                if (life.name, job.id) in self.answered:
                    self.problems.append(f"{life.name} had answered job {job.id.int} and runs it again")
            call = self.calls[life.name, job.id]
            try:
                for report in range(work.reports):
                    await trio.sleep(work.seconds / (work.reports + 1))
                    await envelope.progress(f"call {call}, {report + 1} of {work.reports}")
                await trio.sleep(work.seconds / (work.reports + 1))
            except trio.Cancelled:
                with trio.CancelScope(shield=True):
                    await trio.sleep(work.cleanup)
                raise
            finally:
                life.running[job.id] -= 1
            match work.ending:
                case "error":
                    return job.errored(f"call {call} of {life.name} refuses")
                case "raise":
                    raise JobError(f"call {call} of {life.name} failed")
                case _:
                    return job.completed(f"call {call} of {life.name}")

        return handle

    # -- the books ----------------------------------------------------------------------------------------------------

    def _unexpected(self, error: BaseException) -> None:
        self.problems.append(f"unexpected: {error!r}")

    def _kept_by(self, name: str) -> Any:
        def note(write: Write) -> None:
            job, key = write.job, (name, write.peer, write.job.id)
            if job.status is Status.DUPLICATE:
                self.waited.add((name, job.id))
            if write.deleted:
                self.finals.pop(key, None)
            elif job.is_finished:
                final = job.status, job.result_text
                if self.finals.setdefault(key, final) != final:
                    self.problems.append(
                        f"job {job.id.int} on the board of {name} with {write.peer.name} was {self.finals[key]} "
                        f"and became {final}"
                    )
                if job.destination.agents[-1] == name:
                    self.answered.add((name, job.id))
            elif key in self.finals:
                self.problems.append(f"job {job.id.int} of {name} was finished and is {job.status} again")

        return note

    def _check_kept(self, name: str) -> None:
        """Check that an agent which is gone has left on disk what it had accepted."""
        now = calendar() + self.skew.get(name, 0.0)
        for entry in self.entries:
            if entry.sender == name and entry.accepted and not entry.deleted and entry.job.expires > now:
                kept = self.disks[name].kept.get((entry.peer, entry.job.id))
                if kept is None or kept[1]:
                    self.problems.append(
                        f"job {entry.job.id.int} was accepted and is not on the disk of {name}"
                    )

    def set_back(self, name: str, back: int) -> None:
        """Restart an agent with an older disk, or an empty one: its promises of since then are gone."""
        self.crash(name)
        self.disks[name].set_back(back)
        self.finals = {key: final for key, final in self.finals.items() if key[0] != name}
        self.answered = {key for key in self.answered if key[0] != name}
        for entry in self.entries:
            if entry.sender == name:
                # Whoever loses its own board has lost its own promises, the answers that it was told included.
                entry.may_fail = True
                entry.accepted = entry.accepted and (entry.peer, entry.job.id) in self.disks[name].kept
                entry.told = None
                entry.delete_returned = False
        self.start(name)

    def check(self) -> None:
        """Check what must always hold."""
        assert not self.problems, self.problems
        for _, agent in self.alive:
            limits = agent.limits
            for peer, board in agent.exchange.boards.items():
                assert len(board) <= limits.board_jobs
                assert len(board.tombstones) <= limits.tombstones
                assert len(board._due) <= 4 * (len(board) + len(board.tombstones)) + 8, (
                    "the heap of times grows"
                )
                assert set(board._deadlines) <= {job.id.int for job in (*board, *board.tombstones)}
                assert board.characters == sum(map(size_of, (*board, *board.tombstones)))
                assert agent.peers[peer].queued <= len(board) + len(board.tombstones) + limits.updates_queued
            assert agent.statistics().running <= limits.handlers
            assert len(agent._executor.watches) <= len(self.entries)

    # -- the end ------------------------------------------------------------------------------------------------------

    async def wait_quiet(self, seconds: float = 150.0) -> None:
        """Wait until everything has happened that will by itself, within a time that is more than enough."""
        await trio.sleep(seconds)
        await trio.testing.wait_all_tasks_blocked()

    async def settle(self) -> None:
        """Make everything whole, wait until all is quiet, and check what was promised."""
        for first, second in pairwise(self.names):
            self.wires.unblock(frozenset((first, second)))
        for name in self.names:
            self.disks[name].fails = False
            life = self.lives[name]
            if life.stopping.is_set() or self.disks[name].has_failed:
                await life.over.wait()
            self.start(name)
        for name in self.names:
            await self.lives[name].up.wait()
        await self.wait_quiet()
        self.check()
        self._check_ends()
        self._check_boards()
        for name, agent in self.alive:
            assert agent.statistics().running == agent.statistics().waiting == 0, f"{name} still has work"
            assert not agent.exchange.running
            assert all(state.is_connected and not state.queued for state in agent.peers.states)
        await trio.sleep(2 * LIMITS.lifetime_seconds + 200)
        self.check()
        for name, agent in self.alive:
            assert agent.statistics().jobs == 0, f"{name} keeps jobs for ever"
            assert not any(board.tombstones for board in agent.exchange.boards.values())
            assert not any(board._due or board._deadlines for board in agent.exchange.boards.values())
            assert not self.disks[name].kept, f"the disk of {name} keeps jobs for ever"
            assert not len(agent._executor.watches)

    def _check_ends(self) -> None:
        for entry in self.entries:
            number = entry.job.id.int
            if not entry.accepted:
                continue
            if entry.deleted:
                if entry.delete_returned:
                    for name, agent in self.alive:
                        for peer, board in agent.exchange.boards.items():
                            assert entry.job.id not in board, f"{name} has deleted job {number} of {peer}"
                continue
            assert entry.told is not None, f"nobody was told of the end of job {number}"
            if not entry.may_fail:
                text = entry.told[1] or ""
                assert "call " in text, f"job {number} ended as {entry.told}"

    def _check_boards(self) -> None:
        for first, second in pairwise(self.names):
            one, other = self.agent(first), self.agent(second)
            assert one is not None
            assert other is not None
            here = self._shared(one, Peer(second), other)
            there = self._shared(other, Peer(first), one)
            for number in here.keys() & there.keys():
                if here[number] != there[number] and any(
                    str(text).startswith(OWN_ENDS) for text in (here[number][2], there[number][2])
                ):
                    # Either side ended it by itself while they could not talk: final is final, on both.
                    assert here[number][1].is_finished
                    assert there[number][1].is_finished
                    del here[number], there[number]
            assert here == there, f"the boards of {first} and {second} differ"

    def _shared(self, agent: Agent, peer: Peer, other: Agent) -> dict[int, tuple[Any, ...]]:
        """Jobs that both should have alike.

        A duplicate waits where it was put, and is not sent on; what has expired is forgotten by either at its own time;
        and who has lost its memory of a deletion is told so by an end.
        """
        board, there = agent.exchange.board(peer), other.exchange.board(Peer(agent.name))
        return {
            job.id.int: (job.command, job.status, job.result_text, job.version)
            for job in board
            if ((agent.name, job.id) not in self.waited or job.id in there)
            and not (there.is_deleted(job.id) and job.result_text == "Job was deleted")
            and not board.is_expired(job, agent.now())
            and not there.is_expired(job, other.now())
        }


OWN_ENDS = (
    "Job expired",
    "Agent soft restart - job cancelled",
    "Agent is performing a soft restart - please retry",
)

LONG = 690.0
"""Seconds of a job that does not expire within a scenario."""

LIMITS = Limits(
    lifetime_seconds=700, finished_seconds=60, handler_cleanup_seconds=2, shutdown_seconds=5, flush_seconds=5
)


def row(count: int, limits: Limits = LIMITS) -> dict[str, AgentConfig]:
    """Configurations of agents in a row."""
    configs = chain_configs(("waldur", "brics", "notebook", "shared")[:count], limits=limits)
    for config in configs.values():
        config.service.limits = LineLimits(
            watchdog_seconds=60
        )  # a quiet world must have noticed a frozen line
    return configs
