"""What an agent needs of the floor below: connections, and someone who makes them.

`paddington.open_service` is the transport of every real agent. Tests put their own in its place.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from paddington import DialFailure, Peer, ServiceConfig


class Connection(Protocol):
    """A live line to one peer, on which texts arrive whole, once and in order, or not at all."""

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""

    async def send(self, text: str) -> None:
        """Queue a text; waits while the queue is full.

        Raises:
            paddington.PaddingtonError: The line is cut, or the text does not fit into a frame.

        """

    def send_nowait(self, text: str) -> None:
        """Queue a text; raises as `send`, or ``trio.WouldBlock`` where that would wait."""

    async def send_some(self, texts: Sequence[str]) -> None:
        """Write texts to the line from this task, in order and in as few frames as they fit into, until it has taken them.

        Each of `send` and `send_some` keeps its own order, and either may come first. Cancelled, it may have sent some
        of them, and may have broken the connection.

        Raises:
            paddington.PayloadTooLargeError: One does not fit into a frame (its `index` tells which); none was sent.
            paddington.PaddingtonError: The line is cut.

        """

    async def receive_some(self, most: int) -> list[str]:
        """Take the texts that have arrived, up to ``most``; waits for the first, and is a checkpoint only then.

        Raises:
            paddington.PaddingtonError: The line has ended.

        """

    def receive_nowait(self) -> str:
        """Take the next text that has arrived.

        Raises:
            trio.WouldBlock: None has.
            paddington.PaddingtonError: The line has ended.

        """

    def __aiter__(self) -> AsyncIterator[str]:
        """Iterate over the texts that arrive, until the line ends."""

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
