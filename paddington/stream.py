"""The stream below every WebSocket: it remembers why it died, and does not let the library above be fooled.

The WebSocket library waits forever if a peer hangs up during the opening, goes on after a send that was cancelled
half-way (what follows never arrives), and collects empty fragments without limit. All three are stopped here, below it,
and reading stops for a user who does not keep up:

Rule 1. The first cause of the end is remembered, and `ended` is set with it.
Rule 2. A send that does not finish breaks the stream: half a frame may be on the wire.
Rule 3. Bytes that come without completing a message are counted; above a limit the stream breaks itself.
Rule 4. One task sends at a time, in turns: the library may answer pings and closes at any time.
Rule 5. While the stream is held, nothing more is read, and TCP slows the peer; the end of the stream releases it.
"""

from __future__ import annotations

import math
from typing import Final

import trio

from .causes import explain
from .text import quoted

MAX_BYTES_PER_SEND: Final = 64 * 1024
"""A longer message is sent in pieces of this size, so that progress shows."""

MIN_PROGRESS_BYTES: Final = 1024
"""So much of a message is a sign of life; less may be somebody who holds a connection with a byte now and then."""


class GuardedStream(trio.abc.Stream):
    """A stream that keeps the five rules above.

    Args:
        stream: The stream below; owned by this object from now on.
        unproductive_limit: Most raw bytes between one `productive` and the next.
        chunk: Most bytes that are received at once unless the receiver asks for another number.
        greeting: What the other side must begin with.

    Attributes:
        ended: Set when the stream is over, whoever ended it.
        received_bytes: Raw bytes received so far.
        sent_bytes: Raw bytes sent so far.
        progress_at: When the last KiB of a message came, or the last piece of a large one was sent, in seconds of the
            run's clock; minus infinity before the first.
        sending_since: When the peer last took part of the send that is under way, likewise; infinity without one.
    """

    def __init__(
        self, stream: trio.abc.Stream, *, unproductive_limit: int, chunk: int, greeting: bytes = b""
    ) -> None:
        self._stream = stream
        self._limit = unproductive_limit
        self._chunk = chunk
        self._greeting = greeting
        self._unproductive = 0
        self._why: str | None = None
        self._broken = False
        self._closed = False
        self._turn = trio.Lock()
        self._let_go: trio.Event | None = None
        self.ended = trio.Event()
        self.received_bytes = 0
        self.sent_bytes = 0
        self.progress_at = -math.inf
        self._progress = 0
        self.sending_since = math.inf

    @property
    def why(self) -> str | None:
        """Why it ended, in one sentence; None before that, or if we closed it."""
        return self._why

    def allow(self, unproductive_limit: int, *, chunk: int) -> None:
        """Set other limits and start counting again."""
        self._limit = unproductive_limit
        self._chunk = chunk
        self._unproductive = 0

    def productive(self) -> None:
        """Note that the bytes so far made a complete message."""
        self._unproductive = 0

    def fail(self, why: str) -> None:
        """Break the stream; the first cause is remembered."""
        self._broken = True
        self._end(why)

    @property
    def is_held(self) -> bool:
        """Whether reading waits for `let_go`."""
        return self._let_go is not None

    def hold(self) -> None:
        """Read nothing more until `let_go`."""
        if self._let_go is None and not self.ended.is_set():
            self._let_go = trio.Event()

    def let_go(self) -> None:
        """Read on."""
        if self._let_go is not None:
            self._let_go.set()
            self._let_go = None

    async def begin(self) -> None:
        """Wait for the turn to send, which lasts until `finish`; a checkpoint only if another task has it."""
        try:
            self._turn.acquire_nowait()
        except trio.WouldBlock:
            await self._turn.acquire()

    def finish(self) -> None:
        """Hand the turn to the next task."""
        self._turn.release()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything, or break the stream. Call it only with the turn."""
        self._check()
        finished = False
        try:
            for start in range(0, len(data), MAX_BYTES_PER_SEND) or (0,):
                self.sending_since = trio.current_time()
                if start:
                    # The peer took part of a large message, so it is alive, and has had no chance to hear from us.
                    self.progress_at = self.sending_since
                piece = (
                    data
                    if len(data) <= MAX_BYTES_PER_SEND
                    else memoryview(data)[start : start + MAX_BYTES_PER_SEND]
                )
                await self._stream.send_all(piece)
            finished = True
        except trio.BrokenResourceError as exc:
            self.fail(explain(exc))
            raise
        except (trio.BusyResourceError, trio.ClosedResourceError):
            finished = True  # nothing went out
            raise
        finally:
            self.sending_since = math.inf
            if not finished:
                self.fail("a message could not be sent to its end")
        self.sent_bytes += len(data)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Wait for the turn and send everything, or break the stream."""
        self._check()
        await self.begin()
        try:
            await self.write(data)
        finally:
            self.finish()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until a send might not block."""
        self._check()
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what has come; empty bytes at the end."""
        while self._let_go is not None:
            await self._let_go.wait()
        self._check()
        try:
            data = bytes(await self._stream.receive_some(self._chunk if max_bytes is None else max_bytes))
        except trio.BrokenResourceError as exc:
            self.fail(explain(exc))
            raise
        if not data:
            self._end("the peer hung up")
            return data
        if self._greeting:
            expected, self._greeting = self._greeting[: len(data)], self._greeting[len(data) :]
            if not data.startswith(expected):
                self.fail(
                    f"the other side does not speak HTTP, it begins with {quoted(data[:32].decode('latin-1'))}"
                )
                raise trio.BrokenResourceError
        self.received_bytes += len(data)
        if self.received_bytes - self._progress >= MIN_PROGRESS_BYTES:
            self._progress = self.received_bytes
            self.progress_at = trio.current_time()
        self._unproductive += len(data)
        if self._unproductive > self._limit:
            self.fail(f"the peer sent {self._unproductive} bytes without a complete message")
            raise trio.BrokenResourceError
        return data

    async def aclose(self) -> None:
        """Close; at once and without a closing message if the stream is broken."""
        self._end(None)
        self._closed = True
        if self._broken:
            await trio.aclose_forcefully(self._stream)
        else:
            await self._stream.aclose()

    def _check(self) -> None:
        if self._broken and not self._closed:
            raise trio.BrokenResourceError(self._why)

    def _end(self, why: str | None) -> None:
        if not self.ended.is_set():
            self._why = why
            self.ended.set()
            self.let_go()
