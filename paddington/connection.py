"""One connection after its handshake: who runs in it, and how it ends.

Three tasks of ours and one of the user's, all in one nursery:

- The *reader* takes frames, opens them and hands payloads on through a bounded queue. When the user is slow
and the
  queue full it waits: then this peer's messages wait, and nobody else's. It keeps the watchdog, which runs
  only while the reader waits for the peer.
- The *writer* alone sends. A send that is cut short leaves half a frame on the wire, so nothing else may be
cancelled
  in the middle of one; time-outs go around the whole connection.
- The *keeper* answers `KEEPALIVE`, one timer per connection. - The user's task gets the `Connection`. When it
returns the connection closes in order: what is queued goes out, the
  WebSocket's closing handshake runs, both within `close_seconds`.

When the line is lost, `receive` ends after what has come, `send` raises, and the user's task has some time to
return before it is cancelled.
"""

import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import attrs
import trio

from paddington.errors import ConnectionLostError, FrameError, PayloadTooLargeError
from paddington.handshake import PeerInfo
from paddington.limits import Limits
from paddington.messages import KEEPALIVE
from paddington.peer import Peer
from paddington.refusals import Refusals
from paddington.session import AnySession, Frame
from paddington.websocket import WebSocket

logger: Final = logging.getLogger(__name__)

SLICE: Final = 32
"""Payloads that are written between two looks at the queue; with the dense framing they share a frame. Without a
bound the two sides of a busy line would take turns instead of working at once."""

WORST: Final = 8
"""No ASCII character takes more bytes in a payload: a control character is written as six, and a text has two quotes."""

Serve: TypeAlias = Callable[["Connection"], Awaitable[object]]
"""What a user gives to be run for each connection, in that connection's own task."""


@attrs.frozen
class ConnectionStatistics:
    """What a connection has done so far.

    Attributes:
        since: When it became primary, in seconds of the run's clock.
        last_heard: When the last complete message came, likewise.
        sent: Payloads sent, `KEEPALIVE` included.
        received: Payloads received, `KEEPALIVE` included.
        dropped: Frames refused.
        sent_bytes: Raw bytes sent, the handshake included.
        received_bytes: Raw bytes received, the handshake included.
        waiting_to_send: Payloads in the queue of the writer.
        waiting_to_receive: Payloads in the queue of the user.
    """

    since: float
    last_heard: float
    sent: int
    received: int
    dropped: int
    sent_bytes: int
    received_bytes: int
    waiting_to_send: int
    waiting_to_receive: int


class Connection:
    """An authenticated connection with one peer, primary on both sides. Services make them; users are given
    them.

    Attributes:
        peer: Whom it is with.
        info: What the peer told about itself: `engine`, `version`, `supports_nonce`, `epoch`.
        dialled: Whether we called.
        caller: Where the peer called from, or where we called, for the log.
        since: When it became primary, in seconds of the run's clock.
        reason: Why it ended, in one sentence; None while it lives.
    """

    def __init__(
        self,
        websocket: WebSocket,
        session: AnySession,
        *,
        peer: Peer,
        info: PeerInfo,
        limits: Limits,
        refusals: Refusals,
        dialled: bool,
        caller: str,
    ) -> None:
        self.peer = peer
        self.info = info
        self.dialled = dialled
        self.caller = caller
        self.since = trio.current_time()
        self.reason: str | None = None
        self._websocket = websocket
        self._session = session
        self._limits = limits
        self._refusals = refusals
        self._outgoing, self._to_write = trio.open_memory_channel[str](limits.send_queue)
        self._incoming, self._to_user = trio.open_memory_channel[str](limits.receive_queue)
        self._keepalive_asked = trio.Event()
        self._written = trio.Event()
        self._closing = False
        self._over = trio.Event()
        self._line = trio.CancelScope()
        self._serving = trio.CancelScope()
        self._patience = math.inf
        self._last_heard = self.since
        self._sent = 0
        self._received = 0
        self._dropped = 0
        websocket.allow(session.receive_limit, margin=limits.unproductive_bytes, binary=session.binary)

    def __repr__(self) -> str:
        state = "live" if self.reason is None else f"over: {self.reason}"
        return f"<Connection {self.peer} {state}>"

    async def send(self, text: str) -> None:
        """Queue a payload for the peer; waits while the queue is full.

        Cancelled while it waits, nothing was queued. That it returned does not mean that the peer has it.

        Args:
            text: The payload.

        Raises:
            PayloadTooLargeError: It does not fit into one frame; nothing was queued.
            PayloadError: It has no UTF-8 form; nothing was queued.
            ConnectionLostError: The connection is over, or ended while this waited.
        """
        self._check(text)
        try:
            await self._outgoing.send(text)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            raise self._lost() from None

    def send_nowait(self, text: str) -> None:
        """Queue a payload for the peer if there is room; as `send`, without a checkpoint.

        Raises:
            trio.WouldBlock: The queue is full.
        """
        self._check(text)
        try:
            self._outgoing.send_nowait(text)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            raise self._lost() from None

    async def receive(self) -> str:
        """Take the next payload of the peer.

        Raises:
            ConnectionLostError: The connection is over, and all that had come was taken.
        """
        try:
            return await self._to_user.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise self._lost() from None

    def receive_nowait(self) -> str:
        """Take the next payload if there is one; as `receive`, without a checkpoint.

        Raises:
            trio.WouldBlock: None has come.
        """
        try:
            return self._to_user.receive_nowait()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise self._lost() from None

    def __aiter__(self) -> "Connection":
        return self

    async def __anext__(self) -> str:
        try:
            return await self.receive()
        except ConnectionLostError:
            raise StopAsyncIteration from None

    @property
    def largest_payload(self) -> int:
        """Bytes of JSON that one payload may take (see `payload_size`)."""
        return self._session.largest_payload

    def payload_size(self, text: str) -> int:
        """Bytes that a payload takes as JSON, its quotes and escapes counted.

        Raises:
            PayloadError: It has no UTF-8 form.
        """
        return self._session.payload_size(text)

    def max_payload_fits(self, text: str) -> bool:
        """Whether a payload fits into one frame.

        Raises:
            PayloadError: It has no UTF-8 form.
        """
        return self._session.fits(text)

    async def aclose(self) -> None:
        """Send what is queued, then close; takes at most `close_seconds`.

        `receive` ends after what has come by now. May be called by the user's task itself, and more than
        once.
        """
        self._end("closed here")
        if not self._closing:
            self._closing = True
            try:
                with trio.move_on_after(self._limits.close_seconds):
                    await self._written.wait()
                    await self._websocket.aclose(seconds=math.inf)
            finally:
                self._line.cancel(reason="the connection is closed")
        await self._over.wait()

    def abort(self, reason: str) -> None:
        """Break the connection at once, without a word to the peer; the user's task is told as of any loss.

        Args:
            reason: Why, in one sentence for the log.
        """
        self._end(reason)
        self._line.cancel(reason=reason)

    def statistics(self) -> ConnectionStatistics:
        """What it has done so far."""
        stream = self._websocket.stream
        return ConnectionStatistics(
            since=self.since,
            last_heard=self._last_heard,
            sent=self._sent,
            received=self._received,
            dropped=self._dropped,
            sent_bytes=stream.sent_bytes,
            received_bytes=stream.received_bytes,
            waiting_to_send=self._outgoing.statistics().current_buffer_used,
            waiting_to_receive=self._incoming.statistics().current_buffer_used,
        )

    async def run(self, serve: Serve, *, patience: float) -> None:
        """Run the connection until it is over. For the service that made it.

        An error of the user's task is logged and ends this connection alone.

        Args:
            serve: The user's task.
            patience: Seconds that it has to return once the line is lost.
        """
        self._patience = patience
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_line, name=f"line of {self.peer}")
            try:
                with self._serving:
                    await serve(self)
            except Exception:
                logger.exception("The task that serves %s failed", self.peer)
            if self._serving.cancelled_caught:
                logger.warning(
                    "The task that serves %s was still running %g s after the end (%s); it was cancelled",
                    self.peer,
                    patience,
                    self.reason,
                )
            await self.aclose()

    async def _run_line(self) -> None:
        try:
            with self._line:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read, name=f"reader of {self.peer}")
                    nursery.start_soon(self._write, name=f"writer of {self.peer}")
                    nursery.start_soon(self._keep_alive, name=f"keeper of {self.peer}")
        finally:
            self._end("the service stopped")
            await trio.aclose_forcefully(self._websocket.stream)
            self._over.set()

    async def _read(self) -> None:
        try:
            # One scope whose deadline moves, since a scope for each frame costs as much as opening one.
            with trio.CancelScope() as watchdog:
                while True:
                    watchdog.deadline = trio.current_time() + self._limits.watchdog_seconds
                    frame = await self._websocket.receive()
                    watchdog.deadline = math.inf
                    self._last_heard = trio.current_time()
                    await self._take(frame)
            if watchdog.cancelled_caught:
                self._lose(f"nothing was heard for {self._limits.watchdog_seconds:g} s")
        except ConnectionLostError as exc:
            # While closing, the library ends this side before the closing handshake is over.
            if not self._closing:
                self._lose(str(exc))

    async def _take(self, frame: Frame) -> None:
        try:
            texts = self._session.open_some(frame)
        except FrameError as exc:
            self._drop(exc)
            return
        self._received += len(texts)
        for text in texts:
            if text == KEEPALIVE:
                self._keepalive_asked.set()
            else:
                await self._hand_on(text)

    async def _hand_on(self, text: str) -> None:
        # While closing, nobody will take it any more.
        with contextlib.suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            try:
                self._incoming.send_nowait(text)
            except trio.WouldBlock:
                await self._incoming.send(text)

    def _drop(self, error: FrameError) -> None:
        self._dropped += 1
        self._refusals.note(f"frame-{error.reason}", "A frame of %s is dropped: %s", self.peer, error)
        if self._session.must_renew:
            self._lose(f"to be opened afresh: {error}")

    async def _write(self) -> None:
        try:
            with trio.CancelScope() as stalled:
                async for text in self._to_write:
                    waiting = [text, *self._also_waiting()]
                    with self._websocket.gathering():
                        while waiting:
                            frame, sealed = self._session.seal_some(waiting)
                            stalled.deadline = trio.current_time() + self._limits.watchdog_seconds
                            await self._websocket.send(frame)
                            self._sent += sealed
                            del waiting[:sealed]
                        await self._websocket.flush()
                    stalled.deadline = math.inf
            if stalled.cancelled_caught:
                self._lose(f"the peer took nothing for {self._limits.watchdog_seconds:g} s")
        except ConnectionLostError as exc:
            self._lose(str(exc))
        finally:
            self._written.set()

    def _also_waiting(self) -> list[str]:
        """What waits behind the payload that was just taken: a slice, so that both sides stay busy."""
        texts: list[str] = []
        with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            while len(texts) < SLICE - 1:
                texts.append(self._to_write.receive_nowait())
        return texts

    async def _keep_alive(self) -> None:
        # Protocol page *wire*, section 5: one timer, and what comes while it runs asks nothing more.
        try:
            if self.dialled:
                await self._outgoing.send(KEEPALIVE)
            while True:
                await self._keepalive_asked.wait()
                await trio.sleep(self._limits.keepalive_seconds)
                self._keepalive_asked = trio.Event()
                await self._outgoing.send(KEEPALIVE)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            pass  # closing

    def _lose(self, reason: str) -> None:
        self._end(reason)
        self._line.cancel(reason=reason)

    def _end(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason
            self._incoming.close()
            self._outgoing.close()
            self._serving.deadline = trio.current_time() + self._patience

    def _lost(self) -> ConnectionLostError:
        return ConnectionLostError(f"The connection with {self.peer} is over: {self.reason}")

    def _check(self, text: str) -> None:
        limit = self._session.largest_payload
        # Counting the bytes of a short ASCII text would only tell what is known: it fits.
        if not (text.isascii() and len(text) * WORST < limit):
            size = self._session.payload_size(text)
            if size > limit:
                raise PayloadTooLargeError(size, limit)
        if self.reason is not None:
            raise self._lost()
