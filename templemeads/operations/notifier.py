"""The notifications of one agent: sent along their path once, handed to a handler where they end."""

from __future__ import annotations

import logging
from typing import Final

import trio

from paddington import Peer

from ..agent_type import AgentType
from ..errors import PeerNotFoundError
from ..grammar import Notification
from ..jobs.commands import Notify, encode
from ..links.peers import Peers
from .diagnostics import Recorder
from .figures import Site
from .notifications import (
    Arrived,
    Dropped,
    NotificationEnvelope,
    NotificationHandler,
    Onward,
    decide,
    is_for_portal,
    log_notification,
)

_log = logging.getLogger("templemeads.operations")

MAX_NOTIFICATIONS: Final = 100
"""Notifications that are being handled at once; more are dropped, with a line in the log."""


class Notifier:
    """The notifications of one agent.

    Args:
        site: The agent.
        peers: Its peers.
        nursery: Where handlers run as tasks.
        recorder: Counts notifications.
        handler: Called for each notification that ends here; by default it is logged.
    """

    def __init__(
        self,
        site: Site,
        peers: Peers,
        nursery: trio.Nursery,
        recorder: Recorder,
        handler: NotificationHandler | None = None,
    ) -> None:
        self._site = site
        self._peers = peers
        self._nursery = nursery
        self._recorder = recorder
        self.handler = log_notification if handler is None else handler
        self._running = 0

    def notify(self, notification: Notification) -> None:
        """Send a notification along its path, without waiting for anything.

        Raises:
            PeerNotFoundError: The agent after this one in the path is not connected, or this one is not in the path.
        """
        names = list(notification.destination.agents)
        me = self._site.name
        if names[-1] == me:
            self._hand_over(notification, me, "local")
            return
        problem = f"This agent, {me!r}, is not in the path {str(notification.destination)[:200]!a}"
        if me in names:
            after = names[names.index(me) + 1]
            found = self._peers.ready(after)
            if found and self._send(found[0].peer, notification):
                self._recorder.notified["sent"] += 1
                return
            problem = f"{after!r}, the next agent of the path, is not connected: the notification is lost"
        self._recorder.notified["failed"] += 1
        raise PeerNotFoundError(problem)

    def send_to(self, notification: Notification, peer: Peer) -> None:
        """Send a notification to one peer, whatever its path.

        Raises:
            PeerNotFoundError: The peer is not connected.
        """
        if not self._send(peer, notification):
            self._recorder.notified["failed"] += 1
            raise PeerNotFoundError(f"{peer} is not connected: the notification is lost")
        self._recorder.notified["sent"] += 1

    def receive(self, peer: Peer, notification: Notification) -> None:
        """Handle, pass on or drop the notification of a peer."""
        self._recorder.notified["received"] += 1
        match decide(notification.destination, self._site.name, peer.name):
            case Arrived():
                self._hand_over(notification, peer.name, peer.zone)
            case Onward(name):
                after = Peer(name, peer.zone)
                if after not in self._peers or not self._send(after, notification):
                    self._site.refuse(peer, "lost", f"a notification for {after}, which is not connected")
            case Dropped(reason, is_astray):
                portals = {handle.name for handle in self._peers.ready(AgentType.PORTAL)}
                bridge = self._site.agent_type is AgentType.BRIDGE
                if is_astray and bridge and is_for_portal(notification.destination, portals):
                    self._hand_over(notification, peer.name, peer.zone)
                else:
                    self._site.refuse(peer, "notification", reason)

    def _send(self, peer: Peer, notification: Notification) -> bool:
        return self._peers[peer].is_registered and self._peers.send(peer, encode(Notify(notification)))

    def _hand_over(self, notification: Notification, sender: str, zone: str) -> None:
        if self._running >= MAX_NOTIFICATIONS:
            self._site.refuse(
                Peer(sender, zone), "crowded", f"a notification, while {self._running} are being handled"
            )
            return
        self._running += 1
        envelope = NotificationEnvelope(
            notification=notification, sender=sender, recipient=self._site.name, zone=zone
        )
        self._nursery.start_soon(self._run, envelope, name="notification handler")

    async def _run(self, envelope: NotificationEnvelope) -> None:
        try:
            await self.handler(envelope)
        except Exception:  # noqa: BLE001 - the code of a user; nobody waits for it
            _log.exception("the handler of a notification from %s failed", envelope.sender)
        finally:
            self._running -= 1
