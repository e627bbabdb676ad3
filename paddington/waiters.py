"""Tasks that wait for the next change of something, and are all woken by it."""

from __future__ import annotations

import trio


class Waiters:
    """The tasks that wait for the next change. Nobody waits most of the time, and that costs nothing.

    A task that waits looks at the facts itself, in a loop: being woken only means that something may have changed.
    """

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: trio.Event | None = None

    async def wait(self) -> None:
        """Wait until the next call of `wake`."""
        if self._event is None:
            self._event = trio.Event()
        await self._event.wait()

    def wake(self) -> None:
        """Wake every task that waits now."""
        if self._event is not None:
            self._event.set()
            self._event = None
