"""Questions between agents: the health of everybody behind us, and the diagnostics report of an agent far away.

An agent that asks a peer remembers how many answers the peer owes it: an answer that nobody asked for is refused. Whatever
cannot be answered is reported back with an `Error`, which existing agents log and ours return to the asker at once. How many
questions one peer can ask is bounded.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import attrs
import trio

from paddington import Peer

from ..agent_type import AgentType
from ..errors import ParseError, RefusedError
from ..jobs.commands import (
    DiagnosticsRequest,
    DiagnosticsResponse,
    Error,
    HealthCheck,
    HealthResponse,
    encode,
)
from ..links.peers import Peers
from ..text import printable, timestamp
from .figures import Figures, Site
from .health import HealthInfo, never_answered, not_connected, patience, whom_to_ask
from .paths import Here, Onward, follow

_log = logging.getLogger("templemeads.operations")

HOP_SECONDS: Final = 0.5
"""How long an asker waits for an answer, for each hop of the path (*operations*, section 2.2)."""

MAX_QUESTIONS: Final = 4
"""Questions of one peer that are answered at once; more are refused."""

MAX_QUESTIONS_PER_SECOND: Final = 10
"""Questions of one peer that are accepted in a second; each may be passed on to everybody behind us (security case P67)."""

MAX_REPORTS: Final = 256
"""Reports that are remembered of agents behind one peer; the oldest is dropped first (*newer-protocol*, section 10.5)."""

MAX_NAME_CHARACTERS: Final = 200
MAX_REASON_CHARACTERS: Final = 300
MAX_PREFIX_CHARACTERS: Final = 200


@attrs.define(eq=False)
class Question:
    """What we ask one peer, and what it answered.

    Attributes:
        owed: Answers that it owes us. A late one serves the next question.
        received: Answers so far.
        answer: The latest health, or the reports by the agent's name, each with the number of its receipt.
        changed: Set by the next answer.
    """

    owed: int = 0
    received: int = 0
    answer: Any = None
    changed: trio.Event = attrs.field(factory=trio.Event)

    def receive(self, answer: Any) -> None:
        """Record an answer."""
        self.received += 1
        self.answer = answer
        self.settle()

    def settle(self) -> None:
        """Record that the peer owes one answer less, and wake whoever waits for it."""
        self.owed -= 1
        self.changed.set()
        self.changed = trio.Event()


@attrs.define(eq=False)
class Failure:
    """That a peer could not do what we asked it.

    Attributes:
        reason: Why, or None as long as it has not said so.
        reported: Set when it has.
    """

    reason: str | None = None
    reported: trio.Event = attrs.field(factory=trio.Event)


class Failures:
    """The `Error` commands with which peers report that they could not do what we asked them."""

    def __init__(self) -> None:
        self._expected: dict[tuple[Peer, str], list[Failure]] = {}

    @contextmanager
    def expecting(self, peer: Peer, topic: str) -> Iterator[Failure]:
        """Look out for an error of a peer about a topic inside a block."""
        key, failure = (peer, topic), Failure()
        self._expected.setdefault(key, []).append(failure)
        try:
            yield failure
        finally:
            self._expected[key].remove(failure)
            if not self._expected[key]:
                del self._expected[key]

    def receive(self, peer: Peer, error: str) -> bool:
        """Hand an error to those who expect it; return whether there is anybody."""
        topic, _, reason = error.partition(": ")
        expected = self._expected.get((peer, topic), ())
        for failure in expected:
            failure.reason = printable(reason, MAX_REASON_CHARACTERS)
            failure.reported.set()
        return bool(expected)


def topic_of(what: str, path: str) -> str:
    """Return the beginning of an error about a request: the request and its path, as its receiver sees it."""
    return f"{what} of {ascii(path).replace(': ', ':')[:MAX_PREFIX_CHARACTERS]}"


def hops_of(rest: str) -> int:
    """Return the number of hops to the end of a path whose first hop has been taken off."""
    return 1 + rest.count(".") + bool(rest)


class Questions:
    """The questions that one agent asks and answers.

    Args:
        site: The agent.
        peers: Its peers.
        nursery: Where answers run as tasks.
        figures: The figures of the agent itself.

    Attributes:
        failures: Errors that peers report.
    """

    def __init__(self, site: Site, peers: Peers, nursery: trio.Nursery, figures: Figures) -> None:
        self._site = site
        self._peers = peers
        self._nursery = nursery
        self._figures = figures
        self.failures = Failures()
        self._healths: defaultdict[Peer, Question] = defaultdict(Question)
        self._reports: defaultdict[Peer, Question] = defaultdict(Question)
        self._answering: Counter[Peer] = Counter()
        self._asked: defaultdict[Peer, deque[float]] = defaultdict(
            lambda: deque([-math.inf] * MAX_QUESTIONS_PER_SECOND, maxlen=MAX_QUESTIONS_PER_SECOND)
        )

    # -- health -----------------------------------------------------------------------------------------------------

    async def health(self, asker: str | None = None, visited: tuple[str, ...] = ()) -> HealthInfo:
        """Collect the health of this agent and of those behind it; takes up to half a second.

        A peer that does not answer in time is shown with its latest answer, whose `last_updated` tells its age, or else
        with an entry that says that nothing is known.

        Args:
            asker: Name of the agent that asks, or None if the question begins here.
            visited: Names of the agents that the question has passed.
        """
        agent = self._site
        own = self._figures.health()
        known = [(each.peer, each.register.agent) for each in self._peers.states if each.register is not None]
        chosen = whom_to_ask(agent.agent_type, known, asker, visited)
        text = encode(HealthCheck((*visited, agent.name)))
        marks = {peer: self._healths[peer].received for peer in chosen}
        asked = [peer for peer in chosen if self._ask(peer, text, self._healths[peer])]
        with trio.move_on_after(patience(visited)):
            for peer in asked:
                while self._healths[peer].received == marks[peer]:
                    await self._healths[peer].changed.wait()
        peers = {}
        for peer in chosen:
            answer: HealthInfo | None = self._healths[peer].answer
            if answer is None:
                register = self._peers[peer].register
                answer = never_answered(peer, None if register is None else register.agent, agent.now())
            peers[peer.name] = answer if peer in asked else not_connected(answer)
        return attrs.evolve(own, peers=peers)

    def receive_health(self, peer: Peer, value: object) -> None:
        """Accept the health that a peer sends, if it owes us one."""
        question = self._healths[peer]
        if not question.owed:
            self._site.refuse(peer, "unasked", "a health report that nobody asked for")
            return
        try:
            health = HealthInfo.from_json(value)
        except ParseError as error:
            self._site.refuse(peer, "unreadable", f"HealthResponse: {error}")
            return
        if health.name != peer.name:
            self._site.refuse(peer, "unasked", f"the health of {ascii(health.name)[:80]} instead of its own")
            return
        question.receive(attrs.evolve(health, last_updated=timestamp(self._site.now())))

    # -- diagnostics ------------------------------------------------------------------------------------------------

    async def report(self, path: str, asker: Peer | None = None) -> dict[str, Any]:
        """Return the report of the agent at the end of a path; an older one if it does not answer in time.

        Args:
            path: The path, as this agent sees it.
            asker: The peer that asks, or None if the question begins here.

        Raises:
            RefusedError: The path leads nowhere, or no report has come.
        """
        match self.follow(path):
            case Here():
                return self._figures.report(asker)
            case Onward(peer, rest, last):
                return await self._far_report(peer, rest, last)

    async def _far_report(self, peer: Peer, rest: str, last: str) -> dict[str, Any]:
        self.require_not_portal_to_portal(peer)
        question = self._reports[peer]
        mark = question.received
        seconds = HOP_SECONDS * hops_of(rest)
        with self.failures.expecting(peer, topic_of("diagnostics", rest)) as failure:
            if not self._ask(peer, encode(DiagnosticsRequest(rest)), question):
                raise RefusedError(f"{peer} is not connected")
            with trio.move_on_after(seconds):
                while (entry := _report_from(question, last)) is None or entry[0] <= mark:
                    if failure.reason is not None:
                        raise RefusedError(failure.reason)
                    await question.changed.wait()
                return entry[1]
        if (entry := _report_from(question, last)) is None:
            raise RefusedError(f"{last!r} did not send its report within {seconds:g} s")
        _log.warning("%r did not answer in time: this is an older report", last)
        return entry[1]

    def receive_report(self, peer: Peer, report: Any) -> None:
        """Accept the report that a peer sends, if it owes us one."""
        question = self._reports[peer]
        name = report.get("agent_name")
        if not question.owed or not isinstance(name, str) or len(name) > MAX_NAME_CHARACTERS:
            self._site.refuse(peer, "unasked", "a report that nobody asked for")
            return
        reports: dict[str, Any] = dict(question.answer or {})
        reports.pop(name, None)
        reports[name] = question.received + 1, report
        while len(reports) > MAX_REPORTS:
            del reports[next(iter(reports))]
        question.receive(reports)

    def receive_error(self, peer: Peer, error: str) -> bool:
        """Accept that a peer could not do what we asked it; return False if this is about nothing that we asked."""
        expected = self.failures.receive(peer, error)
        if expected and error.startswith("diagnostics ") and self._reports[peer].owed:
            self._reports[peer].settle()
        return expected

    # -- answering --------------------------------------------------------------------------------------------------

    def receive_question(self, peer: Peer, command: HealthCheck | DiagnosticsRequest) -> None:
        """Answer a question of a peer that may ask, in a task of its own."""
        if isinstance(command, HealthCheck):
            most = self._site.limits.visited_names
            if len(command.visited) > most:
                self._site.refuse(
                    peer, "unreadable", f"a HealthCheck that has visited more than {most} agents"
                )
                return
            answer = partial(self._answer_health, peer, command.visited)
        else:
            answer = partial(self._answer_diagnostics, peer, command.destination)
        if self._answering[peer] >= MAX_QUESTIONS:
            self._site.refuse(
                peer, "busy", f"{type(command).__name__} while {MAX_QUESTIONS} others are answered"
            )
            return
        if trio.current_time() - self._asked[peer][0] < 1:
            self._site.refuse(peer, "busy", f"more than {MAX_QUESTIONS_PER_SECOND} questions in a second")
            return
        self._asked[peer].append(trio.current_time())
        self._answering[peer] += 1
        self._nursery.start_soon(answer, name=f"answer to {peer}")

    async def _answer_health(self, peer: Peer, visited: tuple[str, ...]) -> None:
        with self._answering_to(peer):
            health = await self.health(peer.name, visited)
            self.send(peer, encode(HealthResponse(health.to_json())))

    async def _answer_diagnostics(self, peer: Peer, path: str) -> None:
        with self._answering_to(peer):
            try:
                report = await self.report(path, peer)
            except RefusedError as error:
                self._site.refuse(peer, "no-report", str(error))
                self.report_failure(peer, "diagnostics", path, error)
            else:
                self.send(peer, encode(DiagnosticsResponse(report)))

    def report_failure(self, peer: Peer, what: str, path: str, error: RefusedError) -> None:
        """Report to a peer that we could not do what it asked; existing agents log this."""
        self.send(peer, encode(Error(f"{topic_of(what, path)}: {error}")))

    @contextmanager
    def _answering_to(self, peer: Peer) -> Iterator[None]:
        try:
            yield
        finally:
            self._answering[peer] -= 1
            if not self._answering[peer]:
                del self._answering[peer]

    # -- what restarts need too -------------------------------------------------------------------------------------

    def follow(self, path: str) -> Here | Onward:
        """Read a path as this agent sees it.

        Raises:
            RefusedError: The path leads nowhere.
        """
        peers = [known.peer for known in self._peers.states if known.register is not None]
        return follow(path, self._site.name, is_leaf=self._site.agent_type.is_leaf, peers=peers)

    def require_not_portal_to_portal(self, peer: Peer) -> None:
        """Check that we are not a portal that asks another portal.

        Raises:
            RefusedError: We are.
        """
        register = self._peers[peer].register
        portals = self._site.agent_type, None if register is None else register.agent
        if portals == (AgentType.PORTAL, AgentType.PORTAL):
            raise RefusedError(f"{peer} is a portal: portals do not answer each other's questions")

    def send(self, peer: Peer, text: str) -> bool:
        """Send a command to a registered peer; return whether it was queued."""
        return self._peers[peer].is_registered and self._peers.send(peer, text)

    def _ask(self, peer: Peer, text: str, question: Question) -> bool:
        if not self.send(peer, text):
            return False
        question.owed += 1
        return True


def _report_from(question: Question, name: str) -> tuple[int, dict[str, Any]] | None:
    reports: dict[str, tuple[int, dict[str, Any]]] = question.answer or {}
    return reports.get(name)
