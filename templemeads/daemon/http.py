"""A small HTTP/1.1 server under trio: the only module that knows an HTTP library.

It serves answers that are made by one async function. Whatever its callers do, it stays bounded: connections, the size of a
request, the time to send one and the time to take an answer are limited, and cancelling it closes everything at once,
whether answers have been read or not. For TLS, put a proxy in front.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from paddington import ConfigError

if TYPE_CHECKING:
    import h11

_log = logging.getLogger("templemeads.http")

MAX_CONNECTIONS: Final = 64
REQUEST_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 10.0
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 1024 * 1024
WRITE_BYTES: Final = 64 * 1024
"""Bytes of an answer that are written at once; the time to take an answer counts for each such piece."""

_READ_BYTES: Final = 64 * 1024
_LINGER_SECONDS: Final = 1.0
_BACKLOG: Final = 64


@attrs.frozen(kw_only=True)
class HttpLimits:
    """Limits of an HTTP server.

    Attributes:
        connections: Connections at once; further ones are closed at once.
        request_seconds: Seconds in which a whole request must have come; an idle connection is closed after them.
        answer_seconds: Seconds in which a caller must have taken each piece of an answer.
        header_bytes: Bytes of the headers of a request; a larger one is answered with 431.
        body_bytes: Bytes of the body of a request; a larger one is answered with 413.
    """

    connections: int = MAX_CONNECTIONS
    request_seconds: float = REQUEST_SECONDS
    answer_seconds: float = ANSWER_SECONDS
    header_bytes: int = MAX_HEADER_BYTES
    body_bytes: int = MAX_BODY_BYTES


@attrs.frozen
class HttpRequest:
    """A request, read whole.

    Attributes:
        method: Its method.
        path: Its path as it was sent, without the query.
        query: What follows the question mark; empty without one.
        headers: Names in lower case, and values.
        body: Its body.
    """

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the first header of this name, or None."""
        return next((value for each, value in self.headers if each == name.lower()), None)


@attrs.frozen
class HttpAnswer:
    """An answer.

    Attributes:
        status: Its status.
        body: Its body: bytes, or an async generator of pieces, after which the connection closes.
        content_type: What the body is.
        headers: Further headers.
    """

    status: int
    body: bytes | AsyncGenerator[bytes, None] = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


Responder = Callable[[HttpRequest], Awaitable[HttpAnswer]]
"""Answers a request; what it raises is logged and answered with 500."""


async def serve_http(
    respond: Responder,
    ip: str,
    port: int,
    *,
    what: str = "HTTP server",
    limits: HttpLimits | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve HTTP until cancelled.

    Args:
        respond: Answers each request.
        ip: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        what: What is served, for the error.
        limits: Its limits.
        task_status: Reports the URL when callers can connect.

    Raises:
        ConfigError: The address cannot be listened on.
    """
    import h11  # noqa: F401 - a missing library is an error now, not at the first request

    limits = HttpLimits() if limits is None else limits
    listening, url = _bind(ip, port, what)
    inside = 0

    async def serve_connection(stream: trio.SocketStream) -> None:
        nonlocal inside
        if inside >= limits.connections:
            stream.socket.close()
            return
        inside += 1
        try:
            await _Connection(stream, respond, limits).run()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
            _log.debug("a caller has gone, or is too slow")
        except* Exception:  # noqa: BLE001 - the wall of a connection
            _log.exception("internal error on an HTTP connection")
        finally:
            inside -= 1
            stream.socket.close()  # at once: what was not read does not delay anybody

    listener = trio.SocketListener(listening)
    async with listener:
        task_status.started(url)
        await trio.serve_listeners(serve_connection, [listener])


def _bind(ip: str, port: int, what: str) -> tuple[trio.socket.SocketType, str]:
    listening = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ip, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"The {what} cannot listen on {ip} port {port}: {reason}") from None
    shown = f"[{ip}]" if ":" in ip else ip
    return trio.socket.from_stdlib_socket(listening), f"http://{shown}:{listening.getsockname()[1]}"


class _Connection:
    """One connection, and the requests on it, one after the other."""

    def __init__(self, stream: trio.SocketStream, respond: Responder, limits: HttpLimits) -> None:
        import h11

        self._h11 = h11
        self._stream = stream
        self._respond = respond
        self._limits = limits
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)

    async def run(self) -> None:
        h11, protocol = self._h11, self._protocol
        while True:
            try:
                with trio.move_on_after(self._limits.request_seconds) as deadline:
                    request = await self._read_request()
                if deadline.cancelled_caught or request is None:
                    return
            except h11.RemoteProtocolError as error:
                if protocol.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                    await self._send(HttpAnswer(error.error_status_hint or 400, b'{"status":"bad request"}'))
                    await self._linger()
                return
            if isinstance(request, HttpAnswer):
                await self._send(request)
                await self._linger()
                return
            try:
                answer = await self._respond(request)
            except Exception:  # noqa: BLE001 - a fault in an answer ends one answer, not the agent
                _log.exception(
                    "internal error in the answer to %s %s", request.method[:20], ascii(request.path[:200])
                )
                answer = HttpAnswer(500, b'{"status":"internal error"}')
            await self._send(answer, is_head=request.method == "HEAD")
            if protocol.our_state is not h11.DONE or protocol.their_state is not h11.DONE:
                await self._linger()
                return
            protocol.start_next_cycle()
            await trio.lowlevel.checkpoint()

    async def _read_request(self) -> HttpRequest | HttpAnswer | None:
        """Read a request; return an answer that refuses it, or None when the caller has gone."""
        h11 = self._h11
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None
        if self._protocol.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))
        body = b""
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                return None
            body += bytes(event.data)
            if len(body) > self._limits.body_bytes:
                return HttpAnswer(413, b'{"status":"request too large"}')
        target = head.target.decode("latin-1")
        path, _, query = target.partition("?")
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
        return HttpRequest(head.method.decode("latin-1"), path, query, headers, body)

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        while (event := self._protocol.next_event()) is self._h11.NEED_DATA:
            self._protocol.receive_data(await self._stream.receive_some(_READ_BYTES))
        return event

    async def _send(self, answer: HttpAnswer, *, is_head: bool = False) -> None:
        h11 = self._h11
        headers: list[tuple[str, str]] = [
            ("content-type", answer.content_type),
            ("cache-control", "no-store"),
            *answer.headers,
        ]
        if isinstance(answer.body, bytes):
            headers.append(("content-length", str(len(answer.body))))
        else:
            headers.append(("connection", "close"))
        await self._write(h11.Response(status_code=answer.status, headers=headers))
        if isinstance(answer.body, bytes):
            for start in range(0, 0 if is_head else len(answer.body), WRITE_BYTES):
                await self._write(h11.Data(data=answer.body[start : start + WRITE_BYTES]))
        elif not is_head:
            async with aclosing(answer.body) as pieces:
                async for piece in pieces:
                    await self._write(h11.Data(data=piece))
        await self._write(h11.EndOfMessage())

    async def _write(self, event: Any) -> None:
        data = self._protocol.send(event)
        if data:
            with trio.fail_after(self._limits.answer_seconds):
                await self._stream.send_all(data)

    async def _linger(self) -> None:
        """Let the caller read the answer: a connection that is closed with unread data loses what was sent last."""
        with trio.move_on_after(_LINGER_SECONDS):
            await self._stream.send_eof()
            while await self._stream.receive_some(_READ_BYTES):
                pass
