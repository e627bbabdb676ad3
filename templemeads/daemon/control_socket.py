"""The control socket: how the command line talks to the running agent on the same machine.

A Unix socket of mode 0600. A caller sends one line of JSON, `{"do": "status", …}`, and gets lines back: any number of
`{"item": …}`, then `{"end": …}` or `{"error": …}`, after which the connection closes. Whoever may open the socket may
do everything that the agent can. So the kernel is asked who calls, and only the agent's own user and root are served.

This module knows sockets and framing, not commands. Each caller stands behind a wall of its own: nothing that one sends,
leaves unread or breaks off reaches the agent or another caller.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from paddington import ConfigError, PaddingtonError

from ..errors import RefusedError, TemplemeadsError

_log = logging.getLogger("templemeads.control")

MAX_REQUEST_BYTES: Final = 1024 * 1024

REQUEST_SECONDS: Final = 10.0
"""How long a caller may take to send its request."""

ANSWER_SECONDS: Final = 30.0
"""How long a caller may leave one line of the answer unread; then the agent hangs up."""

MAX_CALLERS: Final = 64
"""Callers served at once; further ones are refused."""

REFUSAL_SECONDS: Final = 1.0
"""How long a refused caller may take to send the request that is not read."""

MAX_PATH_BYTES: Final = 100
"""Length of a socket's path; the kernel takes 107."""

ROWS_PER_WRITE: Final = 200
"""Rows of a long answer that are encoded and written at once, so that it does not block the agent."""

SOCKET_MODE: Final = 0o600

Send = Callable[[Any], Awaitable[None]]


@attrs.frozen(kw_only=True)
class ControlLimits:
    """Limits of a control socket.

    Attributes:
        callers: Callers served at once.
        request_seconds: Seconds in which a request must have come.
        answer_seconds: Seconds in which a caller must have taken each line of the answer.
    """

    callers: int = MAX_CALLERS
    request_seconds: float = REQUEST_SECONDS
    answer_seconds: float = ANSWER_SECONDS


@attrs.frozen
class Request:
    """A request, read field by field; whatever does not fit is refused with a sentence."""

    fields: Mapping[str, object]

    @classmethod
    def parse(cls, line: bytes) -> Request:
        """Read one line.

        Raises:
            RefusedError: It is not a JSON object.
        """
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RefusedError(f"the request cannot be read: {type(error).__name__}") from None
        if not isinstance(value, dict):
            raise RefusedError("the request cannot be read: it must be a JSON object")
        return cls(value)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; required unless there is a default."""
        found = self.optional_text(key)
        if found is not None:
            return found
        if default is None:
            raise RefusedError(f"the request cannot be read: the field {key!r} is missing")
        return default

    def optional_text(self, key: str) -> str | None:
        """Return a string, or None."""
        found = self.fields.get(key)
        if found is None or isinstance(found, str):
            return found
        raise self._wrong(key, "a string")

    def texts(self, key: str) -> list[str]:
        """Return a list of strings; empty if it is missing."""
        found = self.fields.get(key)
        if found is None:
            return []
        if not isinstance(found, list):
            raise self._wrong(key, "a list of strings")
        strings = [each for each in found if isinstance(each, str)]
        if len(strings) < len(found):
            raise self._wrong(key, "a list of strings")
        return strings

    def flag(self, key: str) -> bool:
        """Return true or false; false if it is missing."""
        found = self.fields.get(key)
        if found is None or isinstance(found, bool):
            return bool(found)
        raise self._wrong(key, "true or false")

    def number(self, key: str, default: float, least: float, most: float) -> float:
        """Return a number, brought between two bounds."""
        found = self.fields.get(key)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self._wrong(key, "a number")
        if isinstance(found, float) and math.isnan(found):
            raise self._wrong(key, "a number")
        return float(max(least, min(most, found)))

    @staticmethod
    def _wrong(key: str, wanted: str) -> RefusedError:
        return RefusedError(f"the request cannot be read: the field {key!r} must be {wanted}")


Answer = Callable[[Request, Send], Awaitable[Any]]
"""Carries out a request: may send items, and returns what the answer ends with."""


async def serve_socket(
    path: Path,
    answer: Answer,
    *,
    limits: ControlLimits | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a control socket until cancelled.

    Args:
        path: Where the socket is to be; one that nobody serves any more is replaced.
        answer: Carries out the requests.
        limits: Its limits.
        task_status: Reports when callers can connect.

    Raises:
        ConfigError: The socket cannot be made there, or another process serves it.
    """
    limits = ControlLimits() if limits is None else limits
    listener, mark = await _listen(path, limits.callers)
    callers = trio.CapacityLimiter(limits.callers)

    async def serve_caller(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                await _serve_caller(stream, answer, callers, limits)
            except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
                _log.debug("a caller of the control socket has gone, or does not read")
            except* Exception:  # noqa: BLE001 - the caller's wall
                _log.exception("internal error while a caller of the control socket was served")

    try:
        async with listener:
            task_status.started()
            await trio.serve_listeners(serve_caller, [listener])
    finally:
        if _mark(path) == mark:
            _remove(path)


# -- the socket in the file system ------------------------------------------------------------------------------------


async def _listen(path: Path, backlog: int) -> tuple[trio.SocketListener, tuple[int, int]]:
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise ConfigError(
            f"The path of the control socket {str(path)!r} is longer than {MAX_PATH_BYTES} bytes: "
            'name a shorter one with --socket, or control = "…" in the configuration'
        )
    await _make_room(path)
    listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The umask belongs to the whole process, so it stays as it is. Linux makes the file with the mode of the
        # socket; elsewhere chmod does it, and nobody can connect before the socket listens.
        with suppress(OSError):
            os.fchmod(listening.fileno(), SOCKET_MODE)
        await listening.bind(str(path))
        _require_mode(path)
        listening.listen(backlog)
        mark = _mark(path)
        assert mark is not None
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"The control socket {str(path)!r} cannot be made: {(error.strerror or str(error)).lower()}. "
            'Name another place with --socket, or control = "…" in the configuration'
        ) from None
    except BaseException:
        listening.close()
        raise
    return trio.SocketListener(listening), mark


async def _make_room(path: Path) -> None:
    mode = _mode(path)
    if mode is None:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(
            f"{str(path)!r} is where the control socket belongs, but is not a socket: move it away"
        )
    try:
        stream = await trio.open_unix_socket(str(path))
    except OSError as error:
        if error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
            raise ConfigError(
                f"The control socket {str(path)!r} cannot be opened: {(error.strerror or str(error)).lower()}"
            ) from None
        _remove(path)  # left behind by a process that was killed
        return
    await stream.aclose()
    raise ConfigError(f"Another process serves the control socket {str(path)!r}: this agent runs already")


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except OSError:
        return None


def _require_mode(path: Path) -> None:
    if stat.S_IMODE(path.lstat().st_mode) != SOCKET_MODE:
        path.chmod(SOCKET_MODE)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _mark(path: Path) -> tuple[int, int] | None:
    """Return what tells this file from one that another process has put in its place."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


# -- one caller -------------------------------------------------------------------------------------------------------


async def _serve_caller(
    stream: trio.SocketStream, answer: Answer, callers: trio.CapacityLimiter, limits: ControlLimits
) -> None:
    if not _is_ours(stream.socket):
        _log.warning("a caller of the control socket is another user, and is refused")
        return

    async def send(value: Mapping[str, Any]) -> None:
        for data in _encode(value):
            with trio.fail_after(limits.answer_seconds):
                await stream.send_all(data)

    async def send_item(value: Any) -> None:
        await send({"item": value})

    try:
        callers.acquire_nowait()
    except trio.WouldBlock:
        # A socket that is closed with unread data loses what was sent last.
        with trio.move_on_after(REFUSAL_SECONDS):
            await stream.receive_some(MAX_REQUEST_BYTES)
        message = f"this agent serves {limits.callers} callers already: close some, and try again"
        await send({"error": message, "kind": "RefusedError"})
        return
    try:
        with trio.move_on_after(limits.request_seconds) as deadline:
            line = await _read_line(stream)
        if deadline.cancelled_caught or line is None:
            return
        try:
            end = await _answer_unless_gone(stream, answer, Request.parse(line), send_item)
        except (TemplemeadsError, PaddingtonError) as error:
            await send({"error": str(error), "kind": type(error).__name__})
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            raise
        except Exception as error:  # noqa: BLE001 - the caller's wall
            _log.exception("internal error in answer to a request on the control socket")
            message = f"internal error ({type(error).__name__}); the agent's log has the details"
            await send({"error": message, "kind": "InternalError"})
        else:
            await send({"end": end})
    finally:
        callers.release()


async def _answer_unless_gone(stream: trio.SocketStream, answer: Answer, request: Request, send: Send) -> Any:
    """Carry out a request, but not for longer than its caller stays."""
    end: Any = None
    failure: Exception | None = None
    is_gone = False
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            nonlocal is_gone
            with suppress(trio.BrokenResourceError):
                while await stream.receive_some(1024):
                    pass
            is_gone = True
            nursery.cancel_scope.cancel(reason="the caller has gone")

        nursery.start_soon(watch)
        try:
            end = await answer(request, send)
        except Exception as error:  # noqa: BLE001 - raised again below, out of the nursery and so bare
            failure = error
        nursery.cancel_scope.cancel(reason="answered")
    if is_gone:
        raise trio.BrokenResourceError("the caller has gone")
    if failure is not None:
        raise failure
    return end


def _encode(value: Mapping[str, Any]) -> Iterator[bytes]:
    """Encode one line; a long list in several pieces."""
    ((key, content), *others) = value.items()
    if others or not isinstance(content, list) or len(content) <= ROWS_PER_WRITE:
        yield json.dumps(value).encode() + b"\n"
        return
    yield f'{{"{key}": ['.encode()
    for start in range(0, len(content), ROWS_PER_WRITE):
        rows = json.dumps(content[start : start + ROWS_PER_WRITE])[1:-1]
        yield (", " if start else "").encode() + rows.encode()
    yield b"]}\n"


async def _read_line(stream: trio.SocketStream) -> bytes | None:
    data = b""
    while b"\n" not in data:
        more = await stream.receive_some(65_536)
        data += more
        if not more or len(data) > MAX_REQUEST_BYTES:
            return None
    return data.partition(b"\n")[0]


def _is_ours(connected: trio.socket.SocketType) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # elsewhere the mode of the socket must suffice
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in (0, os.geteuid())
