"""What an agent needs of the floor below: connections, and someone who makes them.

`paddington.open_service` is the transport of every real agent. Tests put their own in its place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from paddington import DialFailure, Peer, ServiceConfig


class Connection(Protocol):
    """A live line to one peer, on which texts arrive whole, once and in order, or not at all."""

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""

    async def send_some(self, texts: Sequence[str]) -> None:
        """Write texts to the line from this task, in order and in as few frames as they fit into, until it has taken them.

        Cancelled, it may have sent some of them, and may have broken the connection.

        Raises:
            paddington.PayloadTooLargeError: One does not fit into a frame (its `index` tells which); none was sent.
            paddington.PaddingtonError: The line is cut.

        """

    async def receive_slice(self) -> list[str]:
        """Take the next texts of the peer, one or more; while nobody takes them, nothing more is read.

        Raises:
            paddington.PaddingtonError: The connection has ended, and all that had arrived was taken.

        """

    def max_payload_fits(self, text: str) -> bool:
        """Tell whether the peer accepts a text of this size.

        Raises:
            paddington.PayloadError: The text has no UTF-8 form.

        """

    async def aclose(self) -> None:
        """Send what is queued, within a deadline, and close."""


class Service(Protocol):
    """Listens and dials."""

    @property
    def port(self) -> int | None:
        """Where it listens, or None if it does not."""


Serve = Callable[[Connection], Awaitable[None]]
DialFailed = Callable[[DialFailure], None]


class Transport(Protocol):
    """Makes connections for as long as a ``with`` block lasts."""

    def __call__(
        self, config: ServiceConfig, *, serve: Serve, dial_failed: DialFailed
    ) -> AbstractAsyncContextManager[Service]:
        """Listen and dial; run ``serve`` for each connection in a task of its own, call ``dial_failed`` on failures."""
