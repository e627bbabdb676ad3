"""One connection after its handshake: who runs in it, and how it ends.

Three tasks, all in the nursery of the caller or the dialler that opened it, and one more while something is queued:

- The *reader* is the library's (see `paddington.websocket`). It opens frames as they come and gives the payloads to the
  function of `deliver`, or puts them into a bounded queue for the user. When the user is slow and the queue full it
  reads no more: then this peer's messages wait, and nobody else's. What one read of the socket and one frame hold beyond
  the bound is kept all the same.
- The user's task gets the `Connection`. What it sends with `send_some` it writes itself; when it returns the connection
  closes in order: what is queued goes out, the WebSocket's closing handshake runs, both within `close_seconds`.
- The *keeper* sleeps until something is due, by the times that the others note down: the answer to a `KEEPALIVE`, one
  timer per connection; the end of a line on which nothing was heard, or nothing taken, for `watchdog_seconds`. The
  first does not run while the reader waits for the user. The keeper also closes the line, whoever ended it.
- A *writer* takes what `send` has queued. It is there only as long as something is queued: the keeper must never be in
  the middle of a send, since it would miss what becomes due meanwhile.

Whoever sends has the line alone for that time (`begin`, `finish`). A send that is cut short leaves half a frame on the
wire, so it breaks the connection; time-outs go around the whole connection.

When the line is lost, `receive` ends after what has come, `send` raises, and the user's task has some time to
return before it is cancelled.
"""

import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import attrs
import trio

from .errors import ConnectionLostError, FrameError, PayloadTooLargeError
from .events import KEEPALIVE
from .limits import Limits
from .peer import Peer
from .protocol.handshake import PeerInfo
from .protocol.session import AnySession, Frame
from .refusals import Refusals
from .websocket import WebSocket

logger: Final = logging.getLogger(__name__)

SLICE: Final = 24
"""Payloads that are taken from a queue at once, to be written or to be given to the function of `deliver`; with the dense
framing they share a frame. Without a bound the two sides of a busy line would take turns instead of working at once."""

AT_ONCE: Final = 64 * 1024
"""Characters or bytes of frames from which on they are written: about what a socket takes at once."""

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
        self._largest = session.largest_payload
        self._outgoing, self._to_write = trio.open_memory_channel[str](limits.send_queue)
        self._incoming: list[str] = []
        self._takers = trio.lowlevel.ParkingLot()
        self._taking: Callable[[list[str]], bool] | None = None
        self._failure: Exception | None = None
        self._enough = False
        self._nursery: trio.Nursery | None = None
        self._writing = False
        self._sends_under_way = 0
        self._settled: trio.Event | None = None
        self._keepalive_owed = dialled
        self._keepalive_due = math.inf
        self._nap = trio.CancelScope()
        self._given_up = False
        self._closing = False
        self._over = trio.Event()
        self._serving = trio.CancelScope()
        self._patience = math.inf
        self._last_heard = self.since
        self._listening_since = self.since
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

    async def receive(self) -> str:
        """Take the next payload of the peer.

        Raises:
            ConnectionLostError: The connection is over, and all that had come was taken.
        """
        if self._incoming:
            await trio.lowlevel.checkpoint()
        await self._wait_incoming()
        return self.receive_nowait()

    def receive_nowait(self) -> str:
        """Take the next payload if there is one; as `receive`, without a checkpoint.

        Raises:
            trio.WouldBlock: None has come.
        """
        if not self._incoming:
            if self.reason is not None:
                raise self._lost()
            raise trio.WouldBlock
        text = self._incoming.pop(0)
        self._read_on()
        return text

    async def receive_some(self, most: int) -> list[str]:
        """Take the next payloads of the peer, as many as have come; waits for the first.

        A checkpoint only where none has come: whoever never waits for anything else takes what the queue holds, which
        is bounded, and then waits here.

        Args:
            most: As many at most, at least one.

        Raises:
            ConnectionLostError: The connection is over, and all that had come was taken.
        """
        await self._wait_incoming()
        texts = self._incoming[:most]
        del self._incoming[:most]
        self._read_on()
        return texts

    async def deliver(self, take: Callable[[list[str]], bool]) -> None:
        """Give payloads to a function in the very step in which they are read, without a change of tasks.

        Those first that wait in the queue; and a slice at a time, so that what comes of one slice is on its way before
        the next is begun. It returns when the function has had enough for now; from then on payloads wait in the queue
        as ever, and a peer that sends on is slowed down when it is full. No checkpoint where the function has had enough
        at once.

        Args:
            take: Is given one or more payloads, and must not wait for anything; returns whether it wants more.

        Raises:
            ConnectionLostError: The connection is over, and all that had come was given.
            Exception: What the function raised.
        """
        while True:
            while self._incoming:
                texts = self._incoming[:SLICE]
                del self._incoming[:SLICE]
                self._read_on()
                if not take(texts):
                    return
                if self._incoming:
                    await trio.lowlevel.checkpoint()
            if self.reason is not None:
                raise self._lost()
            self._taking, self._failure, self._enough = take, None, False
            try:
                await self._takers.park()
            finally:
                self._taking = None
            if self._failure is not None:
                raise self._failure
            if self._enough:
                return

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
            last_heard=self._last_heard,
            sent=self._sent,
            received=self._received,
            dropped=self._dropped,
            sent_bytes=stream.sent_bytes,
            received_bytes=stream.received_bytes,
            waiting_to_send=self._outgoing.statistics().current_buffer_used,
            waiting_to_receive=len(self._incoming),
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
        nursery.start_soon(self._keep, name="keeper")
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
        self._last_heard = trio.current_time()
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
        if self._taking is not None:
            came = self._give(self._taking, came)
        self._incoming += came
        if self._takers:
            self._takers.unpark(count=len(came))
        if len(self._incoming) >= self._limits.receive_queue:
            self._websocket.stream.hold()

    def _give(self, take: Callable[[list[str]], bool], texts: list[str]) -> list[str]:
        """Give the first slice of these payloads; return the others, which `deliver` will give from the queue."""
        try:
            self._enough = not take(texts[:SLICE])
        except Exception as exc:  # noqa: BLE001 - it is raised where `deliver` was called, not in the reader
            self._failure = exc
        others = texts[SLICE:]
        if others or self._enough or self._failure is not None:
            self._taking = None
            self._takers.unpark_all()
        return others

    def _hear_end(self, reason: str) -> None:
        # While closing, the library ends this side before the closing handshake is over.
        if not self._closing:
            self._lose(reason)

    def _drop(self, error: FrameError) -> None:
        self._dropped += 1
        self._refusals.note(f"frame-{error.reason}", "A frame of %s is dropped: %s", self.peer, error)
        if self._session.must_renew:
            self._lose(f"to be opened afresh: {error}")

    async def _wait_incoming(self) -> None:
        while not self._incoming:
            if self.reason is not None:
                raise self._lost()
            await self._takers.park()

    def _read_on(self) -> None:
        stream = self._websocket.stream
        # Not at the first free place: reading on costs a change of tasks, which many payloads shall share.
        if stream.is_held and len(self._incoming) <= self._limits.receive_queue // 2:
            self._listening_since = trio.current_time()
            stream.let_go()

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
            while len(texts) < SLICE:
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
                    while at < len(texts) and size < AT_ONCE:
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

    async def _keep(self) -> None:
        try:
            while not self._given_up:
                # What begins after this look becomes due later than that, or moves the deadline itself.
                latest = trio.current_time() + self._limits.watchdog_seconds
                with trio.CancelScope(deadline=min(latest, *self._dues())) as self._nap:
                    await trio.sleep_forever()
                self._see_to_what_is_due()
        finally:
            self._end("the service stopped")
            try:
                await trio.aclose_forcefully(self._websocket.stream)
            finally:
                self._over.set()

    def _dues(self) -> tuple[float, float, float]:
        """When the line is given up since nothing is heard, and since nothing is taken, and a keepalive is owed."""
        stream, watchdog = self._websocket.stream, self._limits.watchdog_seconds
        heard = max(self._last_heard, self._listening_since, stream.progress_at) + watchdog
        return math.inf if stream.is_held else heard, stream.sending_since + watchdog, self._keepalive_due

    def _see_to_what_is_due(self) -> None:
        now = trio.current_time()
        heard, taken, keepalive = self._dues()
        if heard <= now:
            self._lose(f"nothing was heard for {self._limits.watchdog_seconds:g} s")
        elif taken <= now:
            self._lose(f"the peer took nothing for {self._limits.watchdog_seconds:g} s")
        elif keepalive <= now:
            self._keepalive_due = math.inf
            self._keepalive_owed = True
            self._write_soon()

    def _answer_keepalive(self) -> None:
        # Protocol page *wire*, section 5: one timer, and what comes while it runs asks nothing more.
        if self._keepalive_due == math.inf:
            self._keepalive_due = trio.current_time() + self._limits.keepalive_seconds
            self._nap.deadline = min(self._nap.deadline, self._keepalive_due)

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
            self._takers.unpark_all()
            self._websocket.stream.let_go()
            self._serving.deadline = trio.current_time() + self._patience

    def _lost(self) -> ConnectionLostError:
        return ConnectionLostError(f"The connection with {self.peer} is over: {self.reason}")

    def _check(self, text: str, index: int = 0) -> None:
        limit = self._largest
        # Counting the bytes of a short ASCII text would only tell what is known: it fits.
        if not (text.isascii() and len(text) * WORST < limit):
            size = self._session.payload_size(text)
            if size > limit:
                raise PayloadTooLargeError(size, limit, index)
        if self.reason is not None:
            raise self._lost()
