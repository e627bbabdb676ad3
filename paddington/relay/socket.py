"""What a `Connection` needs of a WebSocket, over letters that a proxy passes on."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import trio

from ..connection import Connection
from ..errors import ConnectionLostError, PaddingtonError
from ..protocol.session import Frame
from .exchange import ciphertext_of
from .letter import Letter

MAX_HELD_BYTES: Final = 4 * 1024 * 1024
"""Frames kept for a user who does not keep up, before the connection with the proxy is read no further."""


class RelayedStream(trio.abc.AsyncResource):
    """The counters and the end of a relayed connection; see `GuardedStream` for the same of a socket."""

    def __init__(self, drain: Callable[[], None]) -> None:
        self._drain = drain
        self.ended = trio.Event()
        self.why: str | None = None
        self.is_held = False
        self.sent_bytes = 0
        self.received_bytes = 0
        self.sending_since = math.inf
        self.progress_at = -math.inf

    def hold(self) -> None:
        """Give the user nothing more until `let_go`."""
        self.is_held = not self.ended.is_set()

    def let_go(self) -> None:
        """Go on with what has come meanwhile."""
        if self.is_held:
            self.is_held = False
            self._drain()

    def fail(self, why: str | None) -> None:
        """End the stream; the first cause is remembered."""
        if not self.ended.is_set():
            self.why = why
            self.ended.set()
            self.is_held = False
            self._drain()

    async def aclose(self) -> None:
        """End it; nothing is sent."""
        self.fail(None)
        await trio.lowlevel.checkpoint()


class RelayedSocket:
    """Carries the frames of one session as letters on the connection with the proxy.

    Args:
        line: The connection with the proxy.
        sender: Our name.
        recipient: The peer's name.
        zone: The zone of the peer's entry.
        farewell: Tells the peer that the session is over; called once, if we close it in order.
    """

    def __init__(
        self, line: Connection, *, sender: str, recipient: str, zone: str, farewell: Callable[[], None]
    ) -> None:
        self.stream = RelayedStream(self._drain)
        self._line = line
        self._sender = sender
        self._recipient = recipient
        self._zone = zone
        self._farewell = farewell
        self._turn = trio.Lock()
        self._frames: deque[Frame] = deque()
        self._held_bytes = 0
        self._room: trio.Event | None = None
        self._take: Callable[[Sequence[Frame]], None] | None = None
        self._lost: Callable[[str], None] | None = None

    def allow(self, frame_bytes: int, *, margin: int, binary: bool = False) -> None:
        """Do nothing: a letter is bounded by the frames of the proxy, and the session checks the rest."""

    def hand_over(self, take: Callable[[Sequence[Frame]], None], lost: Callable[[str], None]) -> None:
        """Give all frames to a function from now on, those first that wait."""
        self._take, self._lost = take, lost
        self._drain()
        if self.stream.ended.is_set():
            lost(self._why())

    async def feed(self, frame: Frame) -> None:
        """Take a frame that came; waits while the user of this connection leaves too much lying."""
        self.put(frame)
        while self._held_bytes > MAX_HELD_BYTES and not self.stream.ended.is_set():
            self._room = trio.Event()
            await self._room.wait()

    def put(self, frame: Frame) -> None:
        """Take a frame that came."""
        if self.stream.ended.is_set():
            return
        self.stream.received_bytes += len(frame)
        self.stream.progress_at = trio.current_time()
        self._held_bytes += len(frame)
        self._frames.append(frame)
        self._drain()

    def fail(self, why: str) -> None:
        """End the connection at once."""
        self.stream.fail(why)
        if self._lost is not None:
            self._lost(self._why())

    async def begin(self) -> None:
        """Wait for the turn to `write`, which lasts until `finish`."""
        try:
            self._turn.acquire_nowait()
        except trio.WouldBlock:
            await self._turn.acquire()

    def finish(self) -> None:
        """Return the turn to write to the next."""
        self._turn.release()

    async def write(self, messages: Sequence[Frame]) -> None:
        """Send frames as letters. Cancelled half-way, it leaves a broken connection behind.

        Raises:
            ConnectionLostError: The connection is over.
        """
        stream = self.stream
        if stream.ended.is_set():
            raise ConnectionLostError(self._why())
        finished = False
        try:
            for message in messages:
                stream.sending_since = trio.current_time()
                letter = Letter(self._sender, self._recipient, self._zone, ciphertext_of(message))
                await self._line.send(letter.to_text())
                stream.sent_bytes += len(message)
            finished = True
        except PaddingtonError as exc:
            stream.fail(f"the connection with the relay ended or refused a frame: {exc}")
            raise ConnectionLostError(self._why()) from None
        finally:
            stream.sending_since = math.inf
            if not finished:
                stream.fail("a message could not be sent to its end")

    async def aclose(self, *, seconds: float) -> None:
        """Tell the peer that the session is over, if it is not over anyway."""
        if not self.stream.ended.is_set():
            with contextlib.suppress(PaddingtonError, trio.WouldBlock):
                self._farewell()
        await self.stream.aclose()

    def _drain(self) -> None:
        if self.stream.ended.is_set():
            self._frames.clear()
            self._held_bytes = 0
        while self._take is not None and self._frames and not self.stream.is_held:
            frame = self._frames.popleft()
            self._held_bytes -= len(frame)
            self._take((frame,))
        if self._room is not None and self._held_bytes <= MAX_HELD_BYTES:
            self._room.set()
            self._room = None

    def _why(self) -> str:
        return self.stream.why or "the connection was closed here"
