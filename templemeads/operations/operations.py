"""Operations: health, diagnostics, restarts and notifications of one agent.

`receive` never waits: what takes time becomes a task of the agent's nursery. Peers that may not ask get no answer; they are
counted and logged like everything that is refused.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import trio

from paddington import Peer

from ..errors import RefusedError
from ..grammar import Notification
from ..jobs.commands import (
    Command,
    DiagnosticsRequest,
    DiagnosticsResponse,
    HealthCheck,
    HealthResponse,
    Notify,
    Restart,
    encode,
)
from ..links.peers import Peers
from ..logcontext import RecentLogs
from ..text import printable
from .figures import Figures, Site
from .health import HealthInfo
from .notifications import NotificationHandler
from .notifier import Notifier
from .paths import may_ask
from .questions import HOP_SECONDS, Questions, hops_of, topic_of
from .restart import PassOn, RestartType, decide

_log = logging.getLogger("templemeads.operations")

RESTART_SECONDS: Final = 60.0
"""Peers can restart an agent at most once in this time (security case R2)."""

MAX_RESTARTS_WATCHED: Final = 16
"""Restarts of peers that are passed on and whose failure is reported back, at one time."""


class Operations:
    """The operations of one agent.

    Args:
        site: The agent.
        peers: Its peers.
        nursery: Where tasks run that take time.
        on_notification: Called for each notification that ends here.
        restart_without_destination: Whether a peer whose type is declared may restart this agent with an empty path.

    Attributes:
        recorder: Remembers how the jobs that ran here ended.
        questions: Health and diagnostics.
        notifier: Notifications.
        exit_asked: Set when the process is to end, because of a hard restart, or of a soft one that failed.
        exit_status: The exit status of the process then.
    """

    def __init__(
        self,
        site: Site,
        peers: Peers,
        nursery: trio.Nursery,
        on_notification: NotificationHandler | None = None,
        *,
        restart_without_destination: bool = False,
    ) -> None:
        self._site = site
        self._peers = peers
        self._nursery = nursery
        self._figures = Figures(site)
        self.recorder = self._figures.recorder
        self.questions = Questions(site, peers, nursery, self._figures)
        self.notifier = Notifier(site, peers, nursery, self.recorder, on_notification)
        self.exit_asked = trio.Event()
        self.exit_status = 0
        self._restart_without_destination = restart_without_destination
        self._restarted = -RESTART_SECONDS
        self._restarts_watched = 0

    @property
    def recent_logs(self) -> RecentLogs | None:
        """The log for diagnostics, if the process keeps one."""
        return self._figures.recent_logs

    @recent_logs.setter
    def recent_logs(self, logs: RecentLogs | None) -> None:
        self._figures.recent_logs = logs

    def receive(self, peer: Peer, command: Command) -> None:
        """Apply a command of a registered peer that is not about jobs."""
        match command:
            case HealthResponse(health):
                self.questions.receive_health(peer, health)
            case DiagnosticsResponse(report):
                self.questions.receive_report(peer, report)
            case Notify(notification):
                self.notifier.receive(peer, notification)
            case HealthCheck() | DiagnosticsRequest() | Restart():
                asker = self._peers[peer].register
                if asker is None or not may_ask(asker.agent, self._site.agent_type):
                    self._site.refuse(
                        peer,
                        "not-above",
                        f"{type(command).__name__} from an agent that is not nearer to the portal",
                    )
                elif isinstance(command, Restart):
                    self._receive_restart(peer, command)
                else:
                    self.questions.receive_question(peer, command)
            case _:
                self._site.refuse(peer, "unsupported", f"{type(command).__name__} is not supported here")

    def receive_error(self, peer: Peer, error: str) -> bool:
        """Accept that a peer could not do what we asked it; return False if this is about nothing that we asked."""
        return self.questions.receive_error(peer, error)

    # -- health and diagnostics -------------------------------------------------------------------------------------

    async def health(self) -> HealthInfo:
        """Collect the health of this agent and of those behind it; takes up to half a second."""
        return await self.questions.health()

    def own_health(self) -> HealthInfo:
        """Return the health of this agent alone."""
        return self._figures.health()

    async def diagnostics(self, path: str = "") -> dict[str, Any]:
        """Return the report of the agent at the end of a path; an older one if it does not answer in time.

        Args:
            path: The names of the agents that lead there, beginning with a peer of this one, each perhaps with
                ``@zone``; empty for this agent itself.

        Raises:
            RefusedError: The path leads nowhere, or no report has come.
        """
        return await self.questions.report(path)

    def own_report(self, asker: Peer | None = None) -> dict[str, Any]:
        """Return the report of this agent, as far as an asker may know it; all of it for None."""
        return self._figures.report(asker)

    # -- restart ----------------------------------------------------------------------------------------------------

    async def restart(self, path: str = "", restart_type: str = "soft") -> None:
        """Restart the agent at the end of a path, which may be this one.

        Nobody confirms that a far agent restarts. An agent of this software on the way reports a path that leads nowhere,
        or why it does not restart; this waits for such a report for half a second for each hop.

        Args:
            path: As for `diagnostics`.
            restart_type: ``soft``: its jobs and connections are dropped, the process lives. ``hard``: its process ends.

        Raises:
            RefusedError: The path leads nowhere, the type is unknown, or an agent reports that it does not restart.
        """
        RestartType.parse(restart_type)
        decision = self._decide_restart(path, restart_type)
        if isinstance(decision, PassOn):
            await self._pass_restart_on(decision, restart_type)
        else:
            await self._restart_here(decision, "an operator")

    def _receive_restart(self, peer: Peer, command: Restart) -> None:
        try:
            decision = self._decide_restart(command.destination, command.restart_type, peer)
            if isinstance(decision, PassOn):
                if self._restarts_watched >= MAX_RESTARTS_WATCHED:
                    raise RefusedError(f"{MAX_RESTARTS_WATCHED} other restarts are being passed on")
                self._restarts_watched += 1
                self._nursery.start_soon(self._pass_on_for, peer, command, decision, name="restart passed on")
                return
            if trio.current_time() - self._restarted < RESTART_SECONDS:
                raise RefusedError(f"{self._site.name!r} was restarted less than {RESTART_SECONDS:g} s ago")
        except RefusedError as error:
            self._refuse_restart(peer, command, error)
            return
        # Marked here and not in the task: a second restart is refused before the task of the first has begun.
        self._restarted = trio.current_time()
        asker = str(peer)
        if self._peers[peer].declared is None:
            asker += ", whose type is not declared in the configuration"
        self._nursery.start_soon(self._restart_here, decision, asker, name="restart")

    def _refuse_restart(self, peer: Peer, command: Restart, error: RefusedError) -> None:
        self._site.refuse(peer, "restart", str(error))
        self.questions.report_failure(peer, "restart", command.destination, error)

    def _decide_restart(self, path: str, word: str, sender: Peer | None = None) -> RestartType | PassOn:
        agent = self._site
        peers = [known.peer for known in self._peers.states if known.register is not None]
        return decide(
            path,
            word,
            agent.name,
            is_leaf=agent.agent_type.is_leaf,
            peers=peers,
            needs_destination=sender is not None and not self._may_omit_destination(sender),
        )

    def _may_omit_destination(self, sender: Peer) -> bool:
        declared = self._peers[sender].declared
        return (
            self._restart_without_destination
            and declared is not None
            and may_ask(declared, self._site.agent_type)
        )

    async def _pass_restart_on(self, onward: PassOn, restart_type: str) -> None:
        self.questions.require_not_portal_to_portal(onward.peer)
        topic = topic_of("restart", onward.destination)
        with self.questions.failures.expecting(onward.peer, topic) as failure:
            if not self.questions.send(onward.peer, encode(Restart(restart_type, onward.destination))):
                raise RefusedError(f"{onward.peer} is not connected")
            _log.info("restart of %s passed on to %s", printable(onward.destination, 200), onward.peer)
            with trio.move_on_after(HOP_SECONDS * hops_of(onward.destination)):
                async with trio.open_nursery() as nursery:
                    # A next hop that restarts closes its connection: then there is nothing more to wait for.
                    nursery.start_soon(self._cancel_when_gone, onward.peer, nursery.cancel_scope)
                    await failure.reported.wait()
                    nursery.cancel_scope.cancel(reason="the failure is reported")
        if failure.reason is not None:
            raise RefusedError(failure.reason)

    async def _cancel_when_gone(self, peer: Peer, scope: trio.CancelScope) -> None:
        await self._peers.wait_gone(peer)
        scope.cancel(reason="the peer is gone")

    async def _pass_on_for(self, peer: Peer, command: Restart, onward: PassOn) -> None:
        try:
            await self._pass_restart_on(onward, command.restart_type)
        except RefusedError as error:
            self._refuse_restart(peer, command, error)
        finally:
            self._restarts_watched -= 1

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
            ParseError: The text is not a notification.
            PeerNotFoundError: The agent after this one in the path is not connected, or this one is not in the path.
        """
        if isinstance(notification, str):
            notification = Notification.parse(notification)
        self.notifier.notify(notification)

    def send_notification(self, notification: Notification, peer: Peer) -> None:
        """Send a notification to one peer, whatever its path; for portals and their bridges.

        Raises:
            PeerNotFoundError: The peer is not connected.
        """
        self.notifier.send_to(notification, peer)
