"""One WebSocket over one stream. The only module that imports the WebSocket library (a test checks that).

The library is trio-websocket. It opens, answers pings and closes; its task is the one that reads. Messages do
not pass through it: wsproto, on which it stands, hands the library its events one by one, and `_Wire` keeps the
messages among them back and gives them on in the same step. So all messages of a chunk are handled at once, without
a change of tasks, and so is sending: frames are made by wsproto and written by whoever has something to send.

This module and `paddington.stream` make up for weaknesses of the library:

- Whatever goes wrong in its reader task stays within this connection: a wall around that task turns it into
  the reason why the stream ended. Pings while closing, over-long messages, callers that speak no HTTP: all end
  here.
- Opening is raced against the end of the stream, so that a hang-up is reported at once and with its cause.
- Its limit of length counts characters, holds what it counts, and then answers in the peer's stead. Ours is
  in the stream below, in bytes. A text that is not ASCII is refused; the envelope is hex digits anyway.
- TCP slows the peer down: while the receiver does not keep up it holds the stream, and nothing more is read.
- Closing has a deadline, and the stream is ours, so it is closed for certain.

No ping is ever sent: existing services take one for a message during the handshake.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Final

import trio
import trio_websocket
import wsproto
from wsproto.events import BytesMessage, CloseConnection, Event, TextMessage
from wsproto.utilities import LocalProtocolError

from .causes import explain
from .errors import ConnectionLostError
from .stream import GuardedStream
from .text import quoted

if TYPE_CHECKING:
    from .config.url import Url
    from .limits import Limits

READ_BYTES: Final = 16 * 1024
"""Maximum bytes of one read, which may go beyond the end of a message.

A chunk is processed without a pause, and a chunk of empty fragments costs most: 16 KiB of them block all other
tasks for some 40 ms, 64 KiB four times as long.
"""

PEER_READ_BYTES: Final = 2 * READ_BYTES
"""The same for an authenticated peer: the more messages share a step, the less each of them costs."""

MAX_FRAME_HEADER_BYTES: Final = 14
"""Maximum bytes in front of the payload of a frame (RFC 6455, section 5.2)."""

MAX_WAITING_MESSAGES: Final = 600
"""Messages that may wait to be received one by one, as during the handshake. Reading stops at the first, so this bounds
how many one chunk can hold: that of an honest peer holds the end of a handshake and payloads, each of which takes a
frame of 30 bytes or more."""

NORMAL: Final = 1000
ABNORMAL: Final = 1006

Headers = list[tuple[bytes, bytes]]
Message = str | bytes


class WebSocket:
    """An open WebSocket that carries ASCII texts, or binary messages where they were agreed.

    At first messages wait to be received one by one; `hand_over` gives them all to a function.

    Attributes:
        headers: Headers of the request (listening side) or of the answer (dialling side), until `hand_over`.
        stream: The stream below, for its counters and its end.
    """

    def __init__(
        self,
        stream: GuardedStream,
        kind: wsproto.ConnectionType,
        *,
        host: str | None = None,
        path: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.headers: Headers = []
        self.stream = stream
        self._wire = _Wire(kind, self._deliver, self._end)
        self._connection = trio_websocket.WebSocketConnection(
            stream,
            self._wire,
            host=host,
            path=path,
            client_extra_headers=list(headers),
            message_queue_size=0,
            max_message_size=sys.maxsize,
            receive_buffer_size=None,  # the stream knows
        )
        self._frame_limit = 0
        self._binary = False
        self._closing = False
        self._inbox: list[Message] = []
        self._changed: trio.Event | None = None
        self._take: Callable[[Sequence[Message]], None] | None = None
        self._lost: Callable[[str], None] | None = None
        self._delivering = False
        self._over = False

    # The library's functions that open a WebSocket make the wsproto connection themselves, so what they do is done
    # here. These are all of its private names that are used: `_open_handshake`, `_get_request`, `_reader_task`.

    async def call(self, nursery: trio.Nursery) -> None:
        """Open the dialling side; the reader runs in the nursery, and raises nothing there that a peer can cause."""
        nursery.start_soon(self._read, name="WebSocket reader")
        await self._connection._open_handshake.wait()  # noqa: SLF001
        self.headers = list(self._connection.handshake_headers)

    async def answer(self, nursery: trio.Nursery) -> None:
        """Open the listening side; as `call`."""
        nursery.start_soon(self._read, name="WebSocket reader")
        request = await self._connection._get_request()  # noqa: SLF001
        self.headers = request.headers
        await request.accept()

    async def _read(self) -> None:
        try:
            await self._connection._reader_task()  # noqa: SLF001
        except trio_websocket.ConnectionRejected as exc:
            self.stream.fail(f"the other side answered with HTTP status {exc.status_code}")
        except Exception as exc:
            # The wall: errors become the reason of the stream's end. Except internal errors.
            if self._delivering:
                raise
            self.stream.fail(f"the peer broke the WebSocket protocol ({explain(exc)})")
        finally:
            self._end()
            await trio.aclose_forcefully(self.stream)

    def allow(
        self, frame_bytes: int, *, margin: int, binary: bool = False, chunk: int = PEER_READ_BYTES
    ) -> None:
        """Set how long a message may be from now on, and whether binary ones are taken.

        Args:
            frame_bytes: Characters of one message.
            margin: Bytes that may come besides: control frames, headers of fragments.
            binary: Whether binary messages are taken, beside texts.
            chunk: Most bytes that are read at once.
        """
        self._frame_limit = frame_bytes
        self._binary = binary
        self.stream.allow(frame_bytes + MAX_FRAME_HEADER_BYTES + chunk + margin, chunk=chunk)

    def hand_over(self, take: Callable[[Sequence[Message]], None], lost: Callable[[str], None]) -> None:
        """Pass all messages to a function from now on, waiting ones first; they obey the limits set by now.

        Args:
            take: Takes the messages of one chunk without waiting, in the reader's task; if it cannot keep up, it holds
                the stream. What it raises counts as an internal error.
            lost: Called with the reason when no more messages will come; may be called more than once.

        Raises:
            ConnectionLostError: One of the waiting messages has a type or length that this side does not accept.
        """
        self._take, self._lost = take, lost
        # The list itself: the library still holds it.
        self.headers.clear()
        self._wire.forget_handshake()
        self.stream.let_go()
        waiting, self._inbox = self._inbox, []
        if waiting:
            self._pass_on(take, waiting)
        if self._over:
            lost(self._why())

    async def begin(self) -> None:
        """Wait for the turn to `write`, which lasts until `finish`; a checkpoint only if another task has it."""
        await self.stream.begin()

    def finish(self) -> None:
        """Pass the turn to write to the next."""
        self.stream.finish()

    async def write(self, messages: Sequence[Message]) -> None:
        """Send messages in one go. Only for the caller that has the turn.

        Cancelled half-way, it leaves a broken connection behind.

        Raises:
            ConnectionLostError: The connection is over.
        """
        if self._connection.closed is not None:
            raise ConnectionLostError(self._why())
        try:
            await self.stream.write(self._wire.frames(messages))
        except (trio.BrokenResourceError, trio.ClosedResourceError, LocalProtocolError):
            raise ConnectionLostError(self._why()) from None

    async def send(self, message: Message) -> None:
        """Send one message; as `write`, and waits for the turn."""
        await self.begin()
        try:
            await self.write((message,))
        finally:
            self.finish()

    async def receive(self) -> Message:
        """Receive one message, before they are handed over.

        Raises:
            ConnectionLostError: The connection is over, or the message has a type or length that this side does not accept.
        """
        await trio.lowlevel.checkpoint()
        while not self._inbox:
            if self._over:
                raise ConnectionLostError(self._why())
            self._changed = trio.Event()
            await self._changed.wait()
        message = self._inbox.pop(0)
        if not self._inbox:
            self.stream.let_go()
        if (problem := self._problem(message)) is not None:
            raise self._refused(problem)
        return message

    async def aclose(self, *, seconds: float) -> None:
        """Close with the WebSocket's closing handshake if the peer takes part in it, and for certain.

        Args:
            seconds: Longest time that the handshake may take.
        """
        try:
            if not self.stream.ended.is_set():
                self._closing = True
                with trio.move_on_after(seconds):
                    await self._connection.aclose()
        finally:
            await trio.aclose_forcefully(self.stream)

    def _deliver(self, messages: list[Message]) -> None:
        self.stream.productive()
        if self._take is not None:
            self._delivering = True
            self._pass_on(self._take, messages)
            self._delivering = False
        elif len(self._inbox) + len(messages) <= MAX_WAITING_MESSAGES:
            # They are looked at when they are received: by then their limits are known.
            self._inbox += messages
            self.stream.hold()
            self._wake()
        else:
            raise self._refused(
                f"the peer sent more than {MAX_WAITING_MESSAGES} messages without waiting for an answer"
            )

    def _pass_on(self, take: Callable[[Sequence[Message]], None], messages: list[Message]) -> None:
        for index, message in enumerate(messages):
            if (problem := self._problem(message)) is not None:
                if index:
                    take(messages[:index])
                self._delivering = False
                raise self._refused(problem)
        take(messages)

    def _problem(self, message: Message) -> str | None:
        if not self._binary and not isinstance(message, str):
            return "the peer sent a binary message"
        if len(message) > self._frame_limit:
            return f"the peer sent a message of {len(message)} characters, more than {self._frame_limit}"
        if isinstance(message, str) and not message.isascii():
            return "the peer sent a message that is not ASCII"
        return None

    def _end(self) -> None:
        self._over = True
        self._wake()
        if self._lost is not None:
            self._lost(self._why())

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def _refused(self, why: str) -> ConnectionLostError:
        self.stream.fail(why)
        return ConnectionLostError(why)

    def _why(self) -> str:
        if self._closing:
            return "the connection was closed here"
        closed = self._connection.closed
        # 1006 is the library's own word for an end without a Close frame (RFC 6455, section 7.1.5).
        if closed is not None and closed.code != ABNORMAL:
            if closed.code == NORMAL:
                return "the peer closed the connection"
            # Sent by the peer, or found by the library in what the peer sent: it does not tell.
            words = f" {quoted(closed.reason)}" if closed.reason else ""
            return f"the connection was closed with code {closed.code}{words}"
        return self.stream.why or "the peer broke the WebSocket protocol"


class _Wire(wsproto.WSConnection):
    """A wsproto connection that gives whole messages to a function, and all other events to the caller of `events`.

    Rule 1. Messages are given on in the step in which their last bytes were read, in order with the other events, and
            those of one chunk together: the receiver processes each step for all of them.
    Rule 2. What is collected of a message in fragments is bounded by the stream below.
    """

    def __init__(
        self, kind: wsproto.ConnectionType, deliver: Callable[[list[Message]], None], end: Callable[[], None]
    ) -> None:
        super().__init__(kind)
        self._deliver = deliver
        self._end = end
        self._whole: list[Message] = []
        self._texts: list[str] = []
        self._bytes = bytearray()
        self._is_open = False

    def forget_handshake(self) -> None:
        """Let go of what only the opening needed: a parser of HTTP, and what was said in it."""
        self._is_open = True
        del self.handshake

    def events(self) -> Generator[Event, None, None]:
        """Return the events that are no messages; messages are delivered on the way."""
        connection = self.connection
        found = connection.events() if self._is_open and connection is not None else super().events()
        for event in found:
            if isinstance(event, TextMessage | BytesMessage):
                self._collect(event)
            else:
                self._give_on()
                yield event
                # The library has seen to it by now: it knows why, and has answered.
                if isinstance(event, CloseConnection):
                    self._end()
        self._give_on()

    def frames(self, messages: Sequence[Message]) -> bytes:
        """Make the frames of messages.

        Raises:
            LocalProtocolError: Our side has closed.
        """
        return b"".join(
            [
                self.send(TextMessage(message) if isinstance(message, str) else BytesMessage(message))
                for message in messages
            ]
        )

    def _collect(self, event: TextMessage | BytesMessage) -> None:
        # All parts of a message are of one kind: wsproto holds the peer to that.
        if isinstance(event, TextMessage):
            if event.message_finished and not self._texts:
                self._whole.append(event.data)
            else:
                self._texts.append(event.data)
                if event.message_finished:
                    texts, self._texts = self._texts, []
                    self._whole.append("".join(texts))
        else:
            self._bytes += event.data
            if event.message_finished:
                data, self._bytes = bytes(self._bytes), bytearray()
                self._whole.append(data)

    def _give_on(self) -> None:
        if self._whole:
            messages, self._whole = self._whole, []
            self._deliver(messages)


async def open_client(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    url: Url,
    headers: Sequence[tuple[bytes, bytes]],
    limits: Limits,
) -> WebSocket:
    """Open the dialling side of a WebSocket.

    Args:
        nursery: Runs the reader; it raises nothing there that the other side can cause.
        stream: A connected stream; the caller still sees to its end if this raises.
        url: What is called.
        headers: Headers of ours.
        limits: Limits of the service.

    Raises:
        ConnectionLostError: The other side hung up, refused, or speaks no WebSocket.
    """
    guarded = GuardedStream(
        stream, unproductive_limit=limits.header_bytes, chunk=READ_BYTES, greeting=b"HTTP/1."
    )
    websocket = WebSocket(
        guarded, wsproto.ConnectionType.CLIENT, host=url.authority, path=url.path, headers=headers
    )
    await _open(nursery, websocket, websocket.call, limits)
    return websocket


async def open_server(nursery: trio.Nursery, stream: trio.abc.Stream, limits: Limits) -> WebSocket:
    """Open the listening side of a WebSocket; as `open_client`."""
    guarded = GuardedStream(stream, unproductive_limit=limits.header_bytes, chunk=READ_BYTES)
    websocket = WebSocket(guarded, wsproto.ConnectionType.SERVER)
    await _open(nursery, websocket, websocket.answer, limits)
    return websocket


async def _open(
    nursery: trio.Nursery,
    websocket: WebSocket,
    upgrade: Callable[[trio.Nursery], Awaitable[None]],
    limits: Limits,
) -> None:
    stream = websocket.stream
    opened = False
    try:
        async with trio.open_nursery() as race:

            async def watch() -> None:
                await stream.ended.wait()
                race.cancel_scope.cancel(reason="the stream ended during the upgrade")

            race.start_soon(watch)
            await upgrade(nursery)
            opened = True
            race.cancel_scope.cancel(reason="the upgrade is done")
    except* trio_websocket.ConnectionClosed:
        pass
    if not opened or stream.ended.is_set():
        raise ConnectionLostError(stream.why or "the other side broke the WebSocket protocol")
    websocket.allow(limits.handshake_frame_bytes, margin=limits.unproductive_bytes, chunk=READ_BYTES)
