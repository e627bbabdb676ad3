"""Notifications at one agent: whether one that came in ends here, goes on, or is dropped.

A notification travels its path once, without board, acknowledgement or repetition. Source: the protocol page *operations*,
section 4.2. Making and reading them is `templemeads.grammar.notifications`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import attrs

from ..grammar import Destination, Notification
from ..text import quoted

_log = logging.getLogger("templemeads.notifications")


@attrs.frozen(kw_only=True)
class NotificationEnvelope:
    """A notification that has arrived, with where it came from.

    Attributes:
        notification: The notification.
        sender: Name of the neighbour that it came from; our own where it began here.
        recipient: Name of the agent that takes it.
        zone: The zone in which it came; ``local`` where it began here.

    """

    notification: Notification
    sender: str
    recipient: str
    zone: str = "default"


NotificationHandler = Callable[[NotificationEnvelope], Awaitable[None]]
"""What an agent runs for a notification that has arrived; what it raises is logged and goes no further."""


async def log_notification(envelope: NotificationEnvelope) -> None:
    """The handler of an agent that does nothing about notifications."""
    _log.info("notified by %s: %s", envelope.sender, quoted(str(envelope.notification), limit=500))


@attrs.frozen
class Arrived:
    """It is for this agent."""


@attrs.frozen
class Onward:
    """It goes on to the neighbour of this name."""

    name: str


@attrs.frozen
class Dropped:
    """It goes no further.

    Attributes:
        reason: Why, in one sentence.
        is_astray: Whether sender or recipient are not in the path at all: what a bridge may take all the same.

    """

    reason: str
    is_astray: bool = False


def decide(destination: Destination, me: str, sender: str) -> Arrived | Onward | Dropped:
    """Say what becomes of a notification that a neighbour has sent.

    Args:
        destination: Its path.
        me: Name of this agent.
        sender: Name of the neighbour.

    """
    names = list(destination.agents)
    shown = quoted(str(destination))
    for name in (sender, me):
        if name not in names:
            return Dropped(f"{quoted(name)} is not in the path {shown} of the notification", is_astray=True)
    here = names.index(me)
    if here == len(names) - 1:
        return Arrived()
    if here < names.index(sender):
        return Dropped(f"the notification to {shown} came back from {quoted(sender)}")
    return Onward(names[here + 1])


def is_for_portal(destination: Destination, portals: set[str]) -> bool:
    """Whether a bridge, which no path names, takes a notification: a portal it knows is last or last but one."""
    return not portals.isdisjoint(destination.agents[-2:])
