"""A network of exchanges without tasks, clocks or sockets: every event is a call, so every order of events can be tried.

The four agents `waldur.brics.notebook.shared` stand in a row. What an agent has decided is on its disk only after
`Estate.sync`, and only then goes out; a crash loses the rest. Lines keep their order and can be cut at any moment.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from uuid import UUID

import attrs

from paddington import Peer
from templemeads import Job, Limits
from templemeads.jobs.commands import Command, Delete, Put, Sync, Update, decode, encode
from templemeads.jobs.exchange import Exchange
from templemeads.jobs.outcome import Kind, Outcome, Write

from .values import NOW

NAMES = ("waldur", "brics", "notebook", "shared")
ROUTE = ".".join(NAMES)
COMMANDS = {Kind.PUT: Put, Kind.UPDATE: Update, Kind.DELETE: Delete}


@attrs.define
class Held:
    """An outcome whose writes are not on the disk yet."""

    outcome: Outcome


@attrs.define
class Node:
    name: str
    limits: Limits
    exchange: Exchange = attrs.field(init=False)
    disk: dict[tuple[Peer, UUID], Write] = attrs.field(factory=dict)
    held: deque[Held] = attrs.field(factory=deque)
    running: dict[UUID, Peer] = attrs.field(factory=dict)
    calls: list[UUID] = attrs.field(factory=list)
    refusals: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        neighbours = self.neighbours()
        self.exchange = Exchange(
            self.name, is_neighbour=lambda peer: peer.name in neighbours, limits=self.limits
        )

    def neighbours(self) -> set[str]:
        index = NAMES.index(self.name)
        return {NAMES[i] for i in (index - 1, index + 1) if 0 <= i < len(NAMES)}


@attrs.define
class Estate:
    limits: Limits = attrs.field(factory=Limits)
    now: float = NOW
    nodes: dict[str, Node] = attrs.field(init=False)
    lines: dict[tuple[str, str], deque[str]] = attrs.field(factory=dict)
    told: dict[UUID, Job] = attrs.field(factory=dict)
    accepted: dict[UUID, Job] = attrs.field(factory=dict)
    deleted: set[UUID] = attrs.field(factory=set)
    answered: dict[UUID, int] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.nodes = {name: Node(name, self.limits) for name in NAMES}

    # -- events ---------------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        kept, outcome = self.nodes["waldur"].exchange.submit(job, Peer("brics"), self.now)
        self._take("waldur", outcome)
        self.sync("waldur")
        self.accepted[kept.id] = kept

    def delete(self, job: Job) -> None:
        self._take("waldur", self.nodes["waldur"].exchange.withdraw(job, Peer("brics"), self.now))
        self.sync("waldur")
        self.deleted.add(job.id)

    def connect(self, left: str, right: str) -> None:
        if (left, right) in self.lines:
            return
        self.lines[left, right] = deque()
        self.lines[right, left] = deque()
        for name, other in ((left, right), (right, left)):
            self.sync(name)
            exchange = self.nodes[name].exchange
            jobs = tuple(
                exchange.find(Peer(other), job_id) for job_id in exchange.sync_jobs(Peer(other), self.now)
            )
            self._send(name, other, Sync(jobs))
            for job in exchange.deleted_jobs(Peer(other)):
                self._send(name, other, Delete(job))

    def cut(self, left: str, right: str) -> None:
        self.lines.pop((left, right), None)
        self.lines.pop((right, left), None)

    def deliver(self, sender: str, receiver: str) -> bool:
        line = self.lines.get((sender, receiver))
        if not line:
            return False
        command = decode(line.popleft())
        outcome = self.nodes[receiver].exchange.receive(Peer(sender), command, self.now)
        self._take(receiver, outcome)
        return True

    def finish(self, name: str, value: str) -> bool:
        node = self.nodes[name]
        if not node.running:
            return False
        job_id = next(iter(node.running))
        peer = node.running.pop(job_id)
        job = node.exchange.find(peer, job_id)
        if job is not None and not job.is_finished:
            ended = job.completed(value, now=self.now)
            self._take(name, node.exchange.finish(peer, job_id, ended, self.now))
        return True

    def progress(self, name: str, message: str) -> None:
        node = self.nodes[name]
        for job_id, peer in list(node.running.items())[:1]:
            self._take(name, node.exchange.progress(peer, job_id, message, self.now))

    def sync(self, name: str) -> None:
        node = self.nodes[name]
        while node.held:
            outcome = node.held.popleft().outcome
            for change in outcome.writes:
                if isinstance(change, Write):
                    node.disk[change.peer, change.job.id] = change
                    if name == "shared" and change.job.is_finished and not change.deleted:
                        self.answered.setdefault(change.job.id, node.calls.count(change.job.id))
                else:
                    node.disk.pop((change.peer, change.job_id), None)
            for send in outcome.sends:
                job = node.exchange.find(send.peer, send.job.id)
                if send.kind is Kind.DELETE:
                    self._send(name, send.peer.name, Delete(send.job))
                elif job is not None:
                    self._send(name, send.peer.name, COMMANDS[send.kind](job))
            for answer in outcome.answers:
                self._write(name, answer.peer.name, answer.text)
            if name == "waldur":
                self._tell(outcome)

    def crash(self, name: str) -> None:
        node = self.nodes[name]
        for other in node.neighbours():
            self.cut(name, other)
        node.held.clear()
        node.running.clear()
        node.start()
        self._take(name, node.exchange.restore(list(node.disk.values()), self.now))

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for name, node in self.nodes.items():
            self._take(name, node.exchange.sweep(self.now))

    def flow(self, rounds: int) -> None:
        """Let messages travel undisturbed for a while: each round takes them one agent further."""
        for _ in range(rounds):
            for name in NAMES:
                self.sync(name)
            for sender, receiver in list(self.lines):
                for _ in range(len(self.lines[sender, receiver])):
                    self.deliver(sender, receiver)

    def settle(self) -> None:
        """Let everything happen that can: lines up, disks synced, messages delivered, handlers finished."""
        for left, right in pairwise(NAMES):
            self.connect(left, right)
        busy = True
        while busy:
            busy = False
            for name in NAMES:
                self.sync(name)
            for sender, receiver in list(self.lines):
                while self.deliver(sender, receiver):
                    busy = True
            while self.finish("shared", "settled"):
                busy = True

    # -- inside -----------------------------------------------------------------------------------------------------

    def _take(self, name: str, outcome: Outcome) -> None:
        node = self.nodes[name]
        node.held.append(Held(outcome))
        for cancel in outcome.cancels:
            node.running.pop(cancel.job_id, None)
        for run in outcome.runs:
            assert run.job.id not in node.running, "a handler was started twice at once"
            assert run.job.id not in self.answered, "a handler that had answered was called again"
            node.running[run.job.id] = run.peer
            node.calls.append(run.job.id)
        node.refusals += [refusal.reason for refusal in outcome.refusals]

    def _tell(self, outcome: Outcome) -> None:
        for news in outcome.writes:
            if not isinstance(news, Write) or news.deleted or not news.job.is_finished:
                continue
            told = self.told.setdefault(news.job.id, news.job)
            same = (told.status, told.result_text) == (news.job.status, news.job.result_text)
            assert same, (
                f"the result of a finished job changed: {told.result_text} became {news.job.result_text}"
            )

    def _send(self, sender: str, receiver: str, command: Command) -> None:
        self._write(sender, receiver, encode(command))

    def _write(self, sender: str, receiver: str, text: str) -> None:
        if (sender, receiver) in self.lines:
            self.lines[sender, receiver].append(text)
