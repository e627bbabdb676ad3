"""One connection after its handshake: who runs in it, and how it ends.

Three tasks, all in the nursery of the caller or the dialler that opened it, and one more while something is queued:

- The *reader* is the library's (see `paddington.websocket`). It opens frames as they come and puts their payloads, a slice
  at a time, into the memory channel of what has arrived. When the channel is full the connection reads no more: then this
  peer's messages wait, and nobody else's. What one read of the socket holds beyond the bound is queued all the same.
- The user's task gets the `Connection`. It takes slices with `receive_slice`, or single payloads with `receive`. What it
  sends with `send_some` it writes itself; when it returns the connection closes in order: what is queued is written, the
  WebSocket's closing handshake runs, both within `close_seconds`.
- The *keepalive* task sleeps until something is due (see `paddington.keepalive`): the answer to a `KEEPALIVE`, or the end
  of a connection on which nothing moves. It also closes the connection, whoever ended it.
- A *writer* takes what `send` has queued. It is there only as long as something is queued: the keepalive task must never be
  in the middle of a send, since it would miss what becomes due meanwhile.

Whoever sends has the connection alone for that time (`begin`, `finish`). A send that is cut short leaves half a frame on the
wire, so it breaks the connection; time-outs go around the whole connection.

When the connection is lost, the channel of what has arrived is closed: `receive` ends after what has come. `send` raises,
and the user's task has some time to return before it is cancelled.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeAlias

import attrs
import trio

from .errors import ConnectionLostError, FrameError, PayloadTooLargeError
from .events import KEEPALIVE
from .keepalive import AnswerDue, Keepalive, Lost
from .limits import Limits
from .peer import Peer
from .protocol.handshake import PeerInfo
from .protocol.session import AnySession, Frame
from .refusals import Refusals

logger: Final = logging.getLogger(__name__)

MAX_PAYLOADS_PER_SLICE: Final = 24
"""Payloads that are written at once, or put into the channel of what has arrived: with the dense framing they share a frame,
and one hop between tasks. Without a bound the two sides of a busy connection would take turns instead of working at once."""

FLUSH_BYTES: Final = 64 * 1024
"""Write frames out once this many bytes are pending: about what a socket takes at once."""

MAX_BYTES_PER_CHARACTER: Final = 8
"""No ASCII character takes more bytes in a payload: a control character is written as six, and a text has two quotes."""

Serve: TypeAlias = Callable[["Connection"], Awaitable[object]]
"""What a user gives to be run for each connection, in that connection's own task."""


class CarrierStream(Protocol):
    """What a connection needs of the stream below its frames; see `GuardedStream`."""

    sent_bytes: int
    received_bytes: int
    ended: trio.Event

    @property
    def why(self) -> str | None:
        """Why it ended."""

    @property
    def is_held(self) -> bool:
        """Whether nothing is read."""

    @property
    def progress_at(self) -> float:
        """When bytes last arrived."""

    @property
    def sending_since(self) -> float:
        """When the peer last took bytes of what is being sent; infinite while nothing is."""

    def hold(self) -> None:
        """Read nothing more until `let_go`."""

    def let_go(self) -> None:
        """Read on."""

    async def aclose(self) -> None:
        """Close."""


class Carrier(Protocol):
    """What carries the frames of a connection: a WebSocket, or letters that a relay passes on."""

    @property
    def stream(self) -> CarrierStream:
        """The stream below."""

    def allow(self, frame_bytes: int, *, margin: int, binary: bool = False) -> None:
        """Set how long a frame may be from now on."""

    def hand_over(self, take: Callable[[Sequence[Frame]], None], lost: Callable[[str], None]) -> None:
        """Give all frames to a function from now on."""

    async def begin(self) -> None:
        """Wait for the turn to write."""

    def finish(self) -> None:
        """Return the turn to write to the next."""

    async def write(self, messages: Sequence[Frame]) -> None:
        """Send frames in one go."""

    async def aclose(self, *, seconds: float) -> None:
        """Close in order."""


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
        websocket: Carrier,
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
        self._largest = session.largest_payload
        self._outgoing, self._to_write = trio.open_memory_channel[str](limits.send_queue)
        # The bound is kept by reading no more: what was read already must find room.
        self._arriving, self._arrived = trio.open_memory_channel[list[str]](math.inf)
        self._waiting = 0
        self._taken: list[str] = []
        self._nursery: trio.Nursery | None = None
        self._writing = False
        self._sends_under_way = 0
        self._settled: trio.Event | None = None
        self._keepalive_owed = dialled
        self._keepalive = Keepalive(limits.keepalive_seconds, limits.watchdog_seconds, last_heard=self.since)
        self._nap = trio.CancelScope()
        self._given_up = False
        self._closing = False
        self._over = trio.Event()
        self._serving = trio.CancelScope()
        self._patience = math.inf
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
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._queue(text)
        except trio.WouldBlock:
            # The writer is at work, and wakes whoever waits here.
            try:
                await self._outgoing.send(text)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                raise self._lost() from None
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()

    def send_nowait(self, text: str) -> None:
        """Queue a payload for the peer if there is room; as `send`, without a checkpoint.

        Raises:
            trio.WouldBlock: The queue is full.
        """
        self._check(text)
        self._queue(text)

    async def send_some(self, texts: Sequence[str]) -> None:
        """Write payloads to the line, in as few frames as they fit into, and wait until it has taken them.

        This task writes them itself, which is cheaper than a queue, and no other checkpoint than that of the socket.
        They go out in this order; what `send` queues keeps an order of its own, and either may come first. That it
        returned does not mean that the peer has them.

        Cancelled, it may have sent some of them, and breaks the connection if it was in the middle of it.

        Args:
            texts: The payloads; not changed until this returns.

        Raises:
            PayloadTooLargeError: One does not fit into a frame, see its `index`; none was sent.
            PayloadError: One has no UTF-8 form; none was sent.
            ConnectionLostError: The connection is over, or ended before the line had taken them.
        """
        for index, text in enumerate(texts):
            self._check(text, index)
        if not texts:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._put(texts)
        except ConnectionLostError:
            raise self._lost() from None

    async def receive_slice(self) -> list[str]:
        """Take the next payloads of the peer: one or more, in the order in which they were sent.

        Raises:
            ConnectionLostError: The connection is over, and all that had come was taken.
        """
        if self._taken:
            await trio.lowlevel.checkpoint()
            texts, self._taken = self._taken, []
            return self._counted(texts)
        try:
            return self._counted(await self._arrived.receive())
        except trio.EndOfChannel:
            raise self._lost() from None

    async def receive(self) -> str:
        """Take the next payload of the peer.

        Raises:
            ConnectionLostError: The connection is over, and all that had come was taken.
        """
        if self._taken:
            await trio.lowlevel.checkpoint()
        else:
            try:
                self._taken = await self._arrived.receive()
            except trio.EndOfChannel:
                raise self._lost() from None
        return self._next_taken()

    def receive_nowait(self) -> str:
        """Take the next payload if there is one; as `receive`, without a checkpoint.

        Raises:
            trio.WouldBlock: None has come.
        """
        if not self._taken:
            try:
                self._taken = self._arrived.receive_nowait()
            except trio.EndOfChannel:
                raise self._lost() from None
        return self._next_taken()

    def _next_taken(self) -> str:
        text = self._taken.pop(0)
        self._counted([text])
        return text

    def _counted(self, texts: list[str]) -> list[str]:
        self._waiting -= len(texts)
        stream = self._websocket.stream
        # Not at the first free place: reading on costs a change of tasks, which many payloads should share.
        if stream.is_held and self._waiting <= self._limits.receive_queue // 2:
            self._keepalive.read_on(trio.current_time())
            stream.let_go()
        return texts

    def __aiter__(self) -> Connection:
        return self

    async def __anext__(self) -> str:
        try:
            return await self.receive()
        except ConnectionLostError:
            raise StopAsyncIteration from None

    @property
    def largest_payload(self) -> int:
        """Bytes of JSON that one payload may take (see `payload_size`)."""
        return self._largest

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
                    while self._writing or self._sends_under_way:
                        self._settled = trio.Event()
                        await self._settled.wait()
                    await self._websocket.aclose(seconds=math.inf)
            finally:
                self._give_up("the connection is closed")
        await self._over.wait()

    def abort(self, reason: str) -> None:
        """Break the connection at once, without a word to the peer; the user's task is told as of any loss.

        Args:
            reason: Why, in one sentence for the log.
        """
        self._lose(reason)

    def statistics(self) -> ConnectionStatistics:
        """What it has done so far."""
        stream = self._websocket.stream
        return ConnectionStatistics(
            since=self.since,
            last_heard=self._keepalive.last_heard,
            sent=self._sent,
            received=self._received,
            dropped=self._dropped,
            sent_bytes=stream.sent_bytes,
            received_bytes=stream.received_bytes,
            waiting_to_send=self._outgoing.statistics().current_buffer_used,
            waiting_to_receive=self._waiting,
        )

    async def run(self, serve: Serve, *, patience: float, nursery: trio.Nursery) -> None:
        """Run the connection until it is over. For the service that made it.

        An error of the user's task is logged and ends this connection alone.

        Args:
            serve: The user's task.
            patience: Seconds that it has to return once the line is lost.
            nursery: Holds the other tasks: the one in which the reader runs.
        """
        self._patience = patience
        self._nursery = nursery
        nursery.start_soon(self._keep_alive, name="keepalive")
        try:
            self._websocket.hand_over(self._take, self._hear_end)
        except ConnectionLostError as exc:
            self._lose(str(exc))
        if self._keepalive_owed:
            self._write_soon()
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

    # What comes, in the reader's task.

    def _take(self, messages: Sequence[Frame]) -> None:
        self._keepalive.last_heard = trio.current_time()
        came: list[str] = []
        for message in messages:
            try:
                came += self._session.open_some(message)
            except FrameError as exc:
                # What came before it, first: it may end the connection.
                self._hand_on(came)
                came = []
                self._drop(exc)
        self._hand_on(came)

    def _hand_on(self, came: list[str]) -> None:
        self._received += len(came)
        if KEEPALIVE in came:
            came = [text for text in came if text != KEEPALIVE]
            self._answer_keepalive()
        # While closing, nobody will take it any more.
        if not came or self.reason is not None:
            return
        self._waiting += len(came)
        for at in range(0, len(came), MAX_PAYLOADS_PER_SLICE):
            self._arriving.send_nowait(came[at : at + MAX_PAYLOADS_PER_SLICE])
        if self._waiting >= self._limits.receive_queue:
            self._websocket.stream.hold()

    def _hear_end(self, reason: str) -> None:
        # While closing, the library ends this side before the closing handshake is over.
        if not self._closing:
            self._lose(reason)

    def _drop(self, error: FrameError) -> None:
        self._dropped += 1
        self._refusals.note(f"frame-{error.reason}", "A frame of %s is dropped: %s", self.peer, error)
        if self._session.must_renew:
            self._lose(f"to be opened afresh: {error}")

    # What goes.

    def _queue(self, text: str) -> None:
        try:
            self._outgoing.send_nowait(text)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            raise self._lost() from None
        self._write_soon()

    def _write_soon(self) -> None:
        if not self._writing and self._nursery is not None:
            self._writing = True
            self._nursery.start_soon(self._write, name="writer")

    async def _write(self) -> None:
        try:
            with contextlib.suppress(ConnectionLostError):
                while texts := self._queued():
                    await self._put(texts)
        finally:
            self._writing = False
            self._settle()

    def _queued(self) -> list[str]:
        """What waits to be sent: a slice, so that both sides stay busy."""
        texts: list[str] = []
        if self._keepalive_owed:
            self._keepalive_owed = False
            texts.append(KEEPALIVE)
        with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
            while len(texts) < MAX_PAYLOADS_PER_SLICE:
                texts.append(self._to_write.receive_nowait())
        return texts

    async def _put(self, texts: Sequence[str]) -> None:
        websocket, session = self._websocket, self._session
        self._sends_under_way += 1
        at = 0
        try:
            while at < len(texts):
                await websocket.begin()
                # Sealed when it is this task's turn: the numbers of frames are in the order of the wire.
                try:
                    frames: list[Frame] = []
                    size, first = 0, at
                    while at < len(texts) and size < FLUSH_BYTES:
                        frame, sealed = session.seal_some(texts, at)
                        frames.append(frame)
                        size += len(frame)
                        at += sealed
                    await websocket.write(frames)
                    self._sent += at - first
                finally:
                    websocket.finish()
        except ConnectionLostError as exc:
            self._lose(str(exc))
            raise
        except BaseException:
            if websocket.stream.ended.is_set():
                self._lose(websocket.stream.why or "the connection was closed here")
            raise
        finally:
            self._sends_under_way -= 1
            self._settle()

    def _settle(self) -> None:
        if self._settled is not None and not self._writing and not self._sends_under_way:
            self._settled.set()

    # What is due.

    async def _keep_alive(self) -> None:
        try:
            while not self._given_up:
                # What begins after this look becomes due later than that, or moves the deadline itself.
                deadline = self._keepalive.next_due(trio.current_time(), self._websocket.stream)
                with trio.CancelScope(deadline=deadline) as self._nap:
                    await trio.sleep_forever()
                self._do_what_is_due()
        finally:
            self._end("the service stopped")
            try:
                with trio.CancelScope() as scope:
                    scope.cancel(reason="the connection is over")
                    await self._websocket.stream.aclose()
            finally:
                self._over.set()

    def _do_what_is_due(self) -> None:
        match self._keepalive.due(trio.current_time(), self._websocket.stream):
            case Lost(reason):
                self._lose(reason)
            case AnswerDue():
                self._keepalive_owed = True
                self._write_soon()
            case None:
                pass  # woken early: something has become due later

    def _answer_keepalive(self) -> None:
        if (due := self._keepalive.schedule_answer(trio.current_time())) is not None:
            self._nap.deadline = min(self._nap.deadline, due)

    def _lose(self, reason: str) -> None:
        self._end(reason)
        self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        self._given_up = True
        self._nap.cancel(reason=reason)

    def _end(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason
            self._outgoing.close()
            self._arriving.close()
            self._websocket.stream.let_go()
            self._serving.deadline = trio.current_time() + self._patience

    def _lost(self) -> ConnectionLostError:
        return ConnectionLostError(f"The connection with {self.peer} is over: {self.reason}")

    def _check(self, text: str, index: int = 0) -> None:
        limit = self._largest
        # Counting the bytes of a short ASCII text would only tell what is known: it fits.
        if not (text.isascii() and len(text) * MAX_BYTES_PER_CHARACTER < limit):
            size = self._session.payload_size(text)
            if size > limit:
                raise PayloadTooLargeError(size, limit, index)
        if self.reason is not None:
            raise self._lost()
