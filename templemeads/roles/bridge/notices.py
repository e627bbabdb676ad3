"""The notifications that wait for the web portal.

Existing bridges drop all that waits when there are too many; this one drops the oldest alone. Source: the protocol page
*bridge*, section 6.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from uuid import UUID

import attrs

from ...grammar import Notification


@attrs.define(eq=False)
class Notices:
    """Notifications by id, oldest first.

    Attributes:
        max_notices: How many may wait; when there are more, the oldest is dropped and counted.
        sent: How many the web portal has taken.
        failed: How many it was told of in vain, or were dropped.
    """

    max_notices: int
    sent: int = 0
    failed: int = 0
    _waiting: OrderedDict[UUID, Notification] = attrs.field(factory=OrderedDict, init=False)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, notification: Notification) -> Notification | None:
        """Add a notification, and return the one that was dropped for it, if any."""
        self._waiting[notification.id] = notification
        self._waiting.move_to_end(notification.id)
        if len(self._waiting) <= self.max_notices:
            return None
        self.failed += 1
        return self._waiting.popitem(last=False)[1]

    def __iter__(self) -> Iterator[Notification]:
        return iter(tuple(self._waiting.values()))

    def find(self, notification_id: UUID) -> Notification | None:
        """Return a notification that waits, or None."""
        return self._waiting.get(notification_id)

    def next(self) -> Notification | None:
        """Return the notification whose turn it is, or None."""
        return next(iter(self._waiting.values()), None)

    def settle(self, notification_id: UUID, *, taken: bool) -> None:
        """Take a notification off the queue, since the web portal has taken it, or will not."""
        if self._waiting.pop(notification_id, None) is not None:
            if taken:
                self.sent += 1
            else:
                self.failed += 1
