"""Operations: an agent's conversation about health, diagnostics, restarts and notifications.

The shell around `health`, `diagnostics`, `restart` and `notifications`. `receive` never waits: what takes time becomes a
task of the agent's nursery, and how many of these one peer can start is bounded. Peers that may not ask get no answer at
all, as the protocol has it; they are counted and logged like everything that is refused.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Protocol

import attrs
import trio

from paddington import Peer

from ..agent_type import AgentType
from ..errors import ParseError, PeerNotFoundError, RefusedError
from ..grammar import Notification
from ..jobs.board import Board
from ..jobs.commands import (
    ENGINE,
    Command,
    DiagnosticsRequest,
    DiagnosticsResponse,
    HealthCheck,
    HealthResponse,
    Notify,
    Restart,
    encode,
)
from ..limits import Limits
from ..links.peers import Peers
from ..logcontext import RecentLogs
from ..text import printable, timestamp
from ..version import __version__
from .diagnostics import Recorder, RunningHandler
from .health import HealthInfo, JobCounts, count_jobs, patience, unheard_of, whom_to_ask
from .notifications import (
    Arrived,
    Dropped,
    NotificationEnvelope,
    NotificationHandler,
    decide,
    is_for_portal,
    log_notification,
)
from .notifications import Onward as GoesOn
from .paths import Here, Onward, follow, may_ask
from .process import ProcessMeter
from .restart import PassOn, RestartType
from .restart import decide as decide_restart

_log = logging.getLogger("templemeads.operations")

HOP_SECONDS: Final = 0.5
"""How long a hop waits for a report (*operations*, section 2.2); whoever stands before more hops waits for them too."""

QUESTIONS_PER_PEER: Final = 4
"""Questions of one peer that are being answered at once; more are refused."""

QUESTIONS_PER_SECOND: Final = 10
"""Questions of one peer that are taken in a second; each may be passed on to everybody behind us (security case P67)."""

NOTIFICATIONS_AT_ONCE: Final = 100
"""Notifications whose handler runs; more are dropped, with a line in the log."""

RESTART_SECONDS: Final = 60.0
"""Peers can restart an agent at most once in this time (security case R2)."""

REPORTS_KEPT: Final = 256
"""Reports kept of agents behind one peer, the oldest evicted first (*newer-protocol*, section 10.5)."""

FIGURES_SECONDS: Final = 1.0
"""How old figures may be that are given again, so that asking often costs nothing."""


@attrs.define(eq=False)
class _Question:
    """What we ask one peer, and what came back.

    Attributes:
        owed: Answers that it owes us: as many as we have asked for and not had. A late one serves the next question.
        received: Answers so far.
        answer: The health that came last, or the reports by the agent's name, each with the number of its receipt.
        changed: Set by the next answer.

    """

    owed: int = 0
    received: int = 0
    answer: Any = None
    changed: trio.Event = attrs.field(factory=trio.Event)

    def take(self, answer: Any) -> None:
        self.owed -= 1
        self.received += 1
        self.answer = answer
        self.changed.set()
        self.changed = trio.Event()


class Site(Protocol):
    """What the operations ask of the agent that they belong to."""

    @property
    def name(self) -> str:
        """The agent's name."""

    @property
    def agent_type(self) -> AgentType:
        """What the agent is."""

    @property
    def limits(self) -> Limits:
        """Its limits."""

    @property
    def boards(self) -> Mapping[Peer, Board]:
        """Its boards by peer."""

    def now(self) -> float:
        """Seconds since 1970 UTC."""

    def queued(self) -> int:
        """Return how many commands wait to be sent."""

    def running_handlers(self) -> list[RunningHandler]:
        """Return the handlers that run now."""

    def refuse(self, peer: Peer, reason: str, message: str) -> None:
        """Count and log that something a peer sent was not accepted."""

    async def soft_restart(self) -> None:
        """Start again without ending the process."""


class Operations:
    """The operations of one agent.

    Args:
        site: The agent.
        peers: Its peers.
        nursery: Where tasks live that take time.
        on_notification: Called for each notification that ends here.

    Attributes:
        recorder: What is remembered of the jobs that ran here.
        recent_logs: The log for diagnostics, if whoever runs the agent keeps one.
        exit_asked: Set when the process is to end, because of a hard restart, or of a soft one that failed.
        exit_status: With which status it is to end then.

    """

    def __init__(
        self,
        site: Site,
        peers: Peers,
        nursery: trio.Nursery,
        on_notification: NotificationHandler | None = None,
    ) -> None:
        self._site = site
        self._peers = peers
        self._nursery = nursery
        self._on_notification = log_notification if on_notification is None else on_notification
        self.recorder = Recorder()
        self.recent_logs: RecentLogs | None = None
        self.exit_asked = trio.Event()
        self.exit_status = 0
        self._meter = ProcessMeter()
        self._started = site.now()
        self._healths: defaultdict[Peer, _Question] = defaultdict(_Question)
        self._reports: defaultdict[Peer, _Question] = defaultdict(_Question)
        self._answering: Counter[Peer] = Counter()
        self._asked: defaultdict[Peer, deque[float]] = defaultdict(
            lambda: deque([-math.inf] * QUESTIONS_PER_SECOND, maxlen=QUESTIONS_PER_SECOND)
        )
        self._notifying = 0
        self._restarted = -RESTART_SECONDS
        self._counts = JobCounts()
        self._counted = -FIGURES_SECONDS

    # -- from the agent ---------------------------------------------------------------------------------------------

    def receive(self, peer: Peer, command: Command) -> None:
        """Take a command of a registered peer that is not about jobs."""
        match command:
            case HealthResponse(health):
                self._take_health(peer, health)
            case DiagnosticsResponse(report):
                self._take_report(peer, report)
            case Notify(notification):
                self._take_notification(peer, notification)
            case HealthCheck() | DiagnosticsRequest() | Restart():
                asker = self._peers[peer].register
                if asker is None or not may_ask(asker.agent, self._site.agent_type):
                    self._refuse(peer, "not-above", f"{type(command).__name__} from where jobs go to")
                elif isinstance(command, Restart):
                    self._take_restart(peer, command)
                else:
                    self._take_question(peer, command)
            case _:
                self._refuse(peer, "unsupported", f"{type(command).__name__} is not supported here")

    # -- health -----------------------------------------------------------------------------------------------------

    async def health(self) -> HealthInfo:
        """Collect the health of this agent and of those behind it; takes up to half a second."""
        return await self._sweep(None, ())

    def own_health(self) -> HealthInfo:
        """Return the figures of this agent alone."""
        agent, now = self._site, self._site.now()
        if trio.current_time() - self._counted >= FIGURES_SECONDS:
            self._counts = count_jobs(agent.name, agent.boards, now)
            self._counted = trio.current_time()
        figures, times = self._meter.read(trio.current_time()), self.recorder.times()
        moment = timestamp(now)
        return HealthInfo(
            name=agent.name,
            agent_type=agent.agent_type.value,
            **attrs.asdict(self._counts),
            queued_jobs=agent.queued(),
            worker_count=len(agent.running_handlers()),
            **attrs.asdict(figures),
            job_time_min_ms=times.least,
            job_time_max_ms=times.most,
            job_time_mean_ms=times.mean,
            job_time_median_ms=times.median,
            job_time_count=times.count,
            total_completed=self.recorder.totals["completed"],
            total_failed=self.recorder.totals["failed"],
            total_expired=self.recorder.totals["expired"],
            total_slow=self.recorder.totals["slow"],
            start_time=timestamp(self._started),
            current_time=moment,
            uptime_seconds=int(now - self._started),
            engine=ENGINE,
            version=__version__,
            last_updated=moment,
        )

    async def _sweep(self, asker: str | None, visited: tuple[str, ...]) -> HealthInfo:
        agent = self._site
        own = self.own_health()
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
            if peer not in asked:
                register = self._peers[peer].register
                answer = answer or unheard_of(peer, None if register is None else register.agent, agent.now())
                answer = attrs.evolve(answer, connected=False)
            if answer is not None:
                peers[peer.name] = answer
        return attrs.evolve(own, peers=peers)

    def _take_health(self, peer: Peer, value: object) -> None:
        question = self._healths[peer]
        if not question.owed:
            self._refuse(peer, "unasked", "a health that nobody asked for")
            return
        try:
            health = HealthInfo.from_json(value)
        except ParseError as error:
            self._refuse(peer, "unreadable", f"HealthResponse: {error}")
            return
        if health.name != peer.name:
            self._refuse(peer, "unasked", f"the health of {ascii(health.name)[:80]} instead of its own")
            return
        question.take(attrs.evolve(health, last_updated=timestamp(self._site.now())))

    # -- diagnostics ------------------------------------------------------------------------------------------------

    async def diagnostics(self, path: str = "") -> dict[str, Any]:
        """Return the report of the agent at the end of a path; an older one if it does not answer in time.

        Args:
            path: The names of the agents that lead there, beginning with a peer of this one, each perhaps with
                ``@zone``; empty for this agent itself.

        Raises:
            RefusedError: The path leads nowhere, or no report has come.

        """
        return await self._report_of(path, None)

    def own_report(self, asker: Peer | None = None) -> dict[str, Any]:
        """Return the report of this agent, as far as an asker may know it; all of it for None."""
        agent = self._site
        logs = self.recent_logs
        return self.recorder.report(
            agent.name,
            agent.now(),
            agent.running_handlers(),
            () if logs is None else logs.newest(agent.name, asker=None if asker is None else str(asker)),
            asker=None if asker is None else asker.name,
        )

    async def _report_of(self, path: str, asker: Peer | None) -> dict[str, Any]:
        match self._follow(path):
            case Here():
                return self.own_report(asker)
            case Onward(peer, rest, last):
                self._require_not_portal_to_portal(peer)
                question = self._reports[peer]
                mark = question.received
                if not self._ask(peer, encode(DiagnosticsRequest(rest)), question):
                    raise RefusedError(f"{peer} is not connected")
                hops = 1 + rest.count(".") + bool(rest)
                with trio.move_on_after(HOP_SECONDS * hops):
                    while (entry := self._report_from(question, last)) is None or entry[0] <= mark:
                        await question.changed.wait()
                    return entry[1]
                if (entry := self._report_from(question, last)) is None:
                    raise RefusedError(f"{last!r} did not send its report within {HOP_SECONDS * hops:g} s")
                _log.warning("%r did not answer in time: this is an older report", last)
                return entry[1]

    @staticmethod
    def _report_from(question: _Question, name: str) -> tuple[int, dict[str, Any]] | None:
        reports: dict[str, tuple[int, dict[str, Any]]] = question.answer or {}
        return reports.get(name)

    def _take_report(self, peer: Peer, report: Any) -> None:
        question = self._reports[peer]
        name = report.get("agent_name")
        if not question.owed or not isinstance(name, str) or len(name) > 200:
            self._refuse(peer, "unasked", "a report that nobody asked for")
            return
        kept: dict[str, Any] = dict(question.answer or {})
        kept.pop(name, None)
        kept[name] = question.received + 1, report
        while len(kept) > REPORTS_KEPT:
            del kept[next(iter(kept))]
        question.take(kept)

    # -- questions of peers -----------------------------------------------------------------------------------------

    def _take_question(self, peer: Peer, command: HealthCheck | DiagnosticsRequest) -> None:
        if isinstance(command, HealthCheck):
            most = self._site.limits.visited_names
            if len(command.visited) > most:
                self._refuse(peer, "unreadable", f"a HealthCheck that has visited more than {most} agents")
                return
            answer = partial(self._answer_health, peer, command.visited)
        else:
            answer = partial(self._answer_diagnostics, peer, command.destination)
        if self._answering[peer] >= QUESTIONS_PER_PEER:
            self._refuse(
                peer, "busy", f"{type(command).__name__} while {QUESTIONS_PER_PEER} others are answered"
            )
            return
        if trio.current_time() - self._asked[peer][0] < 1:
            self._refuse(peer, "busy", f"more than {QUESTIONS_PER_SECOND} questions in a second")
            return
        self._asked[peer].append(trio.current_time())
        self._answering[peer] += 1
        self._nursery.start_soon(answer, name=f"answer to {peer}")

    async def _answer_health(self, peer: Peer, visited: tuple[str, ...]) -> None:
        with self._answering_to(peer):
            health = await self._sweep(peer.name, visited)
            self._send(peer, encode(HealthResponse(health.to_json())))

    async def _answer_diagnostics(self, peer: Peer, path: str) -> None:
        with self._answering_to(peer):
            try:
                report = await self._report_of(path, peer)
            except RefusedError as error:
                self._refuse(peer, "no-report", str(error))
            else:
                self._send(peer, encode(DiagnosticsResponse(report)))

    @contextmanager
    def _answering_to(self, peer: Peer) -> Iterator[None]:
        try:
            yield
        finally:
            self._answering[peer] -= 1
            if not self._answering[peer]:
                del self._answering[peer]

    # -- restart ----------------------------------------------------------------------------------------------------

    async def restart(self, path: str = "", restart_type: str = "soft") -> None:
        """Restart the agent at the end of a path, which may be this one; nobody says whether a far one did.

        Args:
            path: As for `diagnostics`.
            restart_type: ``soft``: its jobs and connections are dropped, the process lives. ``hard``: its process ends.

        Raises:
            RefusedError: The path leads nowhere, or the type is unknown.

        """
        RestartType.parse(restart_type)
        decision = self._decide_restart(path, restart_type, from_peer=False)
        if isinstance(decision, PassOn):
            self._pass_restart_on(decision, restart_type)
        else:
            await self._restart_here(decision, "an operator")

    def _take_restart(self, peer: Peer, command: Restart) -> None:
        try:
            decision = self._decide_restart(command.destination, command.restart_type, from_peer=True)
            if isinstance(decision, PassOn):
                self._pass_restart_on(decision, command.restart_type)
                return
            if trio.current_time() - self._restarted < RESTART_SECONDS:
                raise RefusedError(f"this agent was restarted less than {RESTART_SECONDS:g} s ago")
        except RefusedError as error:
            self._refuse(peer, "restart", str(error))
            return
        # Marked here and not in the task: what comes before that has begun is refused already.
        self._restarted = trio.current_time()
        asker = str(peer)
        if self._peers[peer].declared is None:
            asker += ", whose type is not declared in the configuration"
        self._nursery.start_soon(self._restart_here, decision, asker, name="restart")

    def _decide_restart(self, path: str, word: str, *, from_peer: bool) -> RestartType | PassOn:
        agent = self._site
        peers = [known.peer for known in self._peers.states if known.register is not None]
        return decide_restart(
            path, word, agent.name, is_leaf=agent.agent_type.is_leaf, peers=peers, from_peer=from_peer
        )

    def _pass_restart_on(self, onward: PassOn, restart_type: str) -> None:
        self._require_not_portal_to_portal(onward.peer)
        if not self._send(onward.peer, encode(Restart(restart_type, onward.destination))):
            raise RefusedError(f"{onward.peer} is not connected")
        _log.info("restart of %s passed on to %s", printable(onward.destination, 200), onward.peer)

    async def _restart_here(self, restart_type: RestartType, asker: str) -> None:
        self._restarted = trio.current_time()
        _log.warning("%s restart, asked for by %s", restart_type.value, asker)
        if restart_type is RestartType.HARD:
            self.exit_asked.set()
            return
        try:
            await self._site.soft_restart()
            self.recorder.reset()
        except Exception:  # noqa: BLE001 - whatever went wrong, a fresh process is the remedy
            _log.exception("the soft restart failed: the process ends")
            self.exit_status = 1
            self.exit_asked.set()

    # -- notifications ----------------------------------------------------------------------------------------------

    def notify(self, notification: Notification | str) -> None:
        """Send a notification along its path, without waiting for anything.

        Args:
            notification: It, or its text: ``portal.provider user_added fred.proj.portal``.

        Raises:
            ParseError: The text is no notification.
            PeerNotFoundError: The agent after this one in the path is not connected, or this one is not in the path.

        """
        if isinstance(notification, str):
            notification = Notification.parse(notification)
        names = list(notification.destination.agents)
        me = self._site.name
        if names[-1] == me:
            self._hand_over(notification, me, "local")
            return
        problem = f"This agent, {me!r}, is not in the path {str(notification.destination)[:200]!a}"
        if me in names:
            after = names[names.index(me) + 1]
            found = self._peers.ready(after)
            if found and self._send(found[0].peer, encode(Notify(notification))):
                self.recorder.notified["sent"] += 1
                return
            problem = f"{after!r}, the next agent of the path, is not connected: nothing is kept for later"
        self.recorder.notified["failed"] += 1
        raise PeerNotFoundError(problem)

    def send_notification(self, notification: Notification, peer: Peer) -> None:
        """Send a notification to one peer, whatever its path; for portals and their bridges.

        Raises:
            PeerNotFoundError: The peer is not connected.

        """
        if not self._send(peer, encode(Notify(notification))):
            self.recorder.notified["failed"] += 1
            raise PeerNotFoundError(f"{peer} is not connected: a notification for it is lost")
        self.recorder.notified["sent"] += 1

    def _take_notification(self, peer: Peer, notification: Notification) -> None:
        self.recorder.notified["received"] += 1
        match decide(notification.destination, self._site.name, peer.name):
            case Arrived():
                self._hand_over(notification, peer.name, peer.zone)
            case GoesOn(name):
                after = Peer(name, peer.zone)
                if after not in self._peers or not self._send(after, encode(Notify(notification))):
                    self._refuse(peer, "lost", f"a notification for {after}, which is not connected")
            case Dropped(reason, is_astray):
                portals = {handle.name for handle in self._peers.ready(AgentType.PORTAL)}
                bridge = self._site.agent_type is AgentType.BRIDGE
                if is_astray and bridge and is_for_portal(notification.destination, portals):
                    self._hand_over(notification, peer.name, peer.zone)
                else:
                    self._refuse(peer, "notification", reason)

    def _hand_over(self, notification: Notification, sender: str, zone: str) -> None:
        if self._notifying >= NOTIFICATIONS_AT_ONCE:
            self._refuse(
                Peer(sender, zone), "crowded", f"a notification, while {self._notifying} are being handled"
            )
            return
        self._notifying += 1
        envelope = NotificationEnvelope(
            notification=notification, sender=sender, recipient=self._site.name, zone=zone
        )
        self._nursery.start_soon(self._run_notified, envelope, name="notification handler")

    async def _run_notified(self, envelope: NotificationEnvelope) -> None:
        try:
            await self._on_notification(envelope)
        except Exception:  # noqa: BLE001 - somebody else's code; nobody waits for it
            _log.exception("the handler of a notification from %s failed", envelope.sender)
        finally:
            self._notifying -= 1

    # -- small things -----------------------------------------------------------------------------------------------

    def _follow(self, path: str) -> Here | Onward:
        peers = [known.peer for known in self._peers.states if known.register is not None]
        return follow(path, self._site.name, is_leaf=self._site.agent_type.is_leaf, peers=peers)

    def _require_not_portal_to_portal(self, peer: Peer) -> None:
        register = self._peers[peer].register
        if (
            AgentType.PORTAL is self._site.agent_type
            and register is not None
            and register.agent is AgentType.PORTAL
        ):
            raise RefusedError(f"{peer} is a portal, and portals tell portals nothing of themselves")

    def _ask(self, peer: Peer, text: str, question: _Question) -> bool:
        if not self._send(peer, text):
            return False
        question.owed += 1
        return True

    def _send(self, peer: Peer, text: str) -> bool:
        return self._peers[peer].is_registered and self._peers.send(peer, text)

    def _refuse(self, peer: Peer, kind: str, reason: str) -> None:
        self._site.refuse(peer, kind, reason)
