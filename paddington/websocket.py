"""One WebSocket over one stream. The only module that knows which library does it (a test holds that).

The library is trio-websocket. What it does badly is made good here and in `paddington.stream`:

- Whatever goes wrong in its reader task stays within this connection: a wall around that task turns it into
the
  reason why the stream ended. Pings while closing, over-long messages, callers that speak no HTTP: all end
  here.
- Opening is raced against the end of the stream, so that a hang-up is told at once and with its cause. - Its
queue of messages has no places: a message passes from its reader to ours hand to hand, so that whoever is
  slow is slowed down by TCP, and the bytes counted below belong to the one message under way.
- Its limit of length counts characters, holds what it counts, and then answers in the peer's stead. Ours is
in the
  stream below, in bytes. A text that is not ASCII is refused; the envelope is hex digits anyway.
- Closing has a deadline, and the stream is ours, so it is closed for certain.

No ping is ever sent: existing services take one for a message during the handshake.
"""

import contextlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import trio
import trio_websocket

from paddington.causes import explain
from paddington.errors import ConnectionLostError
from paddington.stream import GuardedStream
from paddington.text import quoted

if TYPE_CHECKING:
    from paddington.limits import Limits
    from paddington.url import Url

QUEUE: Final = 0
CHUNK: Final = 16 * 1024
"""Most bytes that are taken from the stream at once: what may be read beyond the end of a message.

The library works through one chunk without a pause, and a chunk of empty fragments is the dearest: 16 KiB of them
hold up everybody else for some 40 ms, 64 KiB four times as long.
"""

HEADER: Final = 14
"""Most bytes in front of the payload of a frame (RFC 6455, section 5.2)."""

NORMAL: Final = 1000
ABNORMAL: Final = 1006

Headers = list[tuple[bytes, bytes]]


@attrs.define(eq=False)
class WebSocket:
    """An open WebSocket that carries ASCII texts, or binary messages where they were agreed.

    One task may send and one may receive at a time.

    Attributes:
        headers: Headers of the request (listening side) or of the answer (dialling side).
        stream: The stream below, for its counters and its end.
    """

    headers: Headers = attrs.field(repr=False)
    stream: GuardedStream
    _connection: trio_websocket.WebSocketConnection
    _frame_limit: int = 0
    _binary: bool = False
    _closing: bool = False

    def allow(self, frame_bytes: int, *, margin: int, binary: bool = False) -> None:
        """Set how long a message may be from now on, and whether binary ones are taken.

        Args:
            frame_bytes: Characters of one message.
            margin: Bytes that may come besides: control frames, headers of fragments.
            binary: Whether binary messages are taken, beside texts.
        """
        self._frame_limit = frame_bytes
        self._binary = binary
        self.stream.allow(frame_bytes + HEADER + CHUNK + margin)

    async def send(self, message: str | bytes) -> None:
        """Send one message.

        Cancelled half-way, it leaves a broken connection behind.

        Raises:
            ConnectionLostError: The connection is over.
        """
        try:
            await self._connection.send_message(message)
        except trio_websocket.ConnectionClosed:
            raise ConnectionLostError(self._why()) from None

    def gathering(self) -> contextlib.AbstractContextManager[None]:
        """Send what is sent in this block together; it ends with `flush`."""
        return self.stream.gathering()

    async def flush(self) -> None:
        """Send what was gathered.

        Raises:
            ConnectionLostError: The connection is over.
        """
        try:
            await self.stream.flush()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ConnectionLostError(self._why()) from None

    async def receive(self) -> str | bytes:
        """Receive one message.

        Raises:
            ConnectionLostError: The connection is over, or the message is none that this side takes.
        """
        try:
            message = await self._connection.get_message()
        except trio_websocket.ConnectionClosed:
            raise ConnectionLostError(self._why()) from None
        self.stream.productive()
        if not self._binary and not isinstance(message, str):
            raise self._refused("the peer sent a binary message")
        if len(message) > self._frame_limit:
            raise self._refused(
                f"the peer sent a message of {len(message)} characters, more than {self._frame_limit}"
            )
        if isinstance(message, str) and not message.isascii():
            raise self._refused("the peer sent a message that is not ASCII")
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


async def open_client(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    url: "Url",
    headers: Sequence[tuple[bytes, bytes]],
    limits: "Limits",
) -> WebSocket:
    """Open the dialling side of a WebSocket.

    Args:
        nursery: Runs the library's reader task; it raises nothing there.
        stream: A connected stream; the caller still sees to its end if this raises.
        url: What is called.
        headers: Headers of ours.
        limits: Limits of the service.

    Raises:
        ConnectionLostError: The other side hung up, refused, or speaks no WebSocket.
    """
    guarded = GuardedStream(stream, unproductive_limit=limits.header_bytes, greeting=b"HTTP/1.")

    async def upgrade(walled: trio.Nursery) -> WebSocket:
        connection = await trio_websocket.wrap_client_stream(
            walled,
            # The annotation names sockets; the library is content with any stream.
            cast("trio.SocketStream", guarded),
            url.authority,
            url.path,
            extra_headers=list(headers),
            message_queue_size=QUEUE,
            max_message_size=sys.maxsize,
            receive_buffer_size=CHUNK,
        )
        return WebSocket(list(connection.handshake_headers), guarded, connection)

    return await _opened(nursery, guarded, upgrade, limits)


async def open_server(nursery: trio.Nursery, stream: trio.abc.Stream, limits: "Limits") -> WebSocket:
    """Open the listening side of a WebSocket; as `open_client`."""
    guarded = GuardedStream(stream, unproductive_limit=limits.header_bytes)

    async def upgrade(walled: trio.Nursery) -> WebSocket:
        request = await trio_websocket.wrap_server_stream(
            walled,
            guarded,
            message_queue_size=QUEUE,
            max_message_size=sys.maxsize,
            receive_buffer_size=CHUNK,
        )
        return WebSocket(list(request.headers), guarded, await request.accept())

    return await _opened(nursery, guarded, upgrade, limits)


async def _opened(
    nursery: trio.Nursery,
    stream: GuardedStream,
    upgrade: Callable[[trio.Nursery], Awaitable[WebSocket]],
    limits: "Limits",
) -> WebSocket:
    websocket: WebSocket | None = None
    try:
        async with trio.open_nursery() as race:

            async def watch() -> None:
                await stream.ended.wait()
                race.cancel_scope.cancel(reason="the stream ended during the upgrade")

            race.start_soon(watch)
            # The library only ever calls start_soon.
            websocket = await upgrade(cast("trio.Nursery", _Walled(nursery, stream)))
            race.cancel_scope.cancel(reason="the upgrade is done")
    except* trio_websocket.ConnectionClosed:
        pass
    if websocket is None or stream.ended.is_set():
        raise ConnectionLostError(stream.why or "the other side broke the WebSocket protocol")
    websocket.allow(limits.handshake_frame_bytes, margin=limits.unproductive_bytes)
    return websocket


@attrs.frozen
class _Walled:
    """As much of a nursery as the library uses, with a wall around what it starts."""

    nursery: trio.Nursery
    stream: GuardedStream

    def start_soon(
        self, function: Callable[..., Awaitable[Any]], *arguments: Any
    ) -> None:  # Any: as trio has it
        self.nursery.start_soon(self._run, function, arguments, name="WebSocket reader")

    async def _run(self, function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
        try:
            await function(*arguments)
        except trio_websocket.ConnectionRejected as exc:
            self.stream.fail(f"the other side answered with HTTP status {exc.status_code}")
        except Exception as exc:  # noqa: BLE001 - the wall: the reason of the stream's end takes it up
            self.stream.fail(f"the peer broke the WebSocket protocol ({explain(exc)})")
        finally:
            await trio.aclose_forcefully(self.stream)
