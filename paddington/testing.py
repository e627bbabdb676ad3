"""Networks in one process, for tests: many services, no sockets, and lines that break when told to.

The same WebSocket, handshake and session run over these streams as over sockets. With a mock clock, hours of
keepalives and years of backing off pass in milliseconds.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import operator
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import attrs
import trio

from .config.address import IPAddress, parse_address

LOCALHOST: Final = parse_address("127.0.0.1")
FIRST_FREE_PORT: Final = 49152
BACKLOG: Final = 1024
PIPE_BYTES: Final = 64 * 1024
"""Bytes that one direction of a line holds before the sender waits: about what a socket does."""


class _Pipe:
    """One direction of a line."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._changed = trio.Event()
        self.swallows = False
        self.finished = False  # nobody sends any more
        self.abandoned = False  # nobody receives any more
        self.broken = False

    async def put(self, data: bytes) -> None:
        position = 0
        await trio.lowlevel.checkpoint()
        while True:
            if self.broken or self.abandoned:
                raise trio.BrokenResourceError("the connection is cut")
            if self.swallows or self.finished:
                return
            room = self._capacity - self._held
            if room > 0:
                piece = data[position : position + room]
                if piece:
                    self._chunks.append(piece)
                    self._held += len(piece)
                    position += len(piece)
                    self.change()
                if position >= len(data):
                    return
            await self._changed.wait()

    async def get(self, most: int) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            if self.broken:
                raise trio.BrokenResourceError("the connection is cut")
            if self._chunks:
                chunk = self._chunks.popleft()
                if len(chunk) > most:
                    self._chunks.appendleft(chunk[most:])
                    chunk = chunk[:most]
                self._held -= len(chunk)
                self.change()
                return chunk
            if self.finished or self.abandoned:
                return b""
            await self._changed.wait()

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()
        while not (
            self.broken or self.abandoned or self.finished or self._held < self._capacity or self.swallows
        ):
            await self._changed.wait()

    def change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a connection in memory.

    Attributes:
        caller: Where the other end seems to call from.
    """

    def __init__(self, outgoing: _Pipe, incoming: _Pipe, caller: IPAddress) -> None:
        self.caller = caller
        self._outgoing = outgoing
        self._incoming = incoming
        self._closed = False
        self._sending = False
        self._receiving = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything, waiting while the connection is full."""
        with self._one("_sending"):
            await self._outgoing.put(bytes(data))
            self._check()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait while the connection is full."""
        with self._one("_sending"):
            await self._outgoing.room()
            self._check()

    async def send_eof(self) -> None:
        """Send nothing more."""
        with self._one("_sending", open_only=False):
            await trio.lowlevel.checkpoint()
            self._check()
            self._outgoing.finished = True
            self._outgoing.change()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what is there, or wait for something."""
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._one("_receiving", open_only=False):
            data = await self._incoming.get(max_bytes or PIPE_BYTES)
            self._check()
            return data

    async def aclose(self) -> None:
        """Close both directions."""
        if not self._closed:
            self._closed = True
            self._outgoing.finished = True
            self._incoming.abandoned = True
            self._outgoing.change()
            self._incoming.change()
        await trio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end is closed")

    @contextlib.contextmanager
    def _one(self, what: str, *, open_only: bool = True) -> Iterator[None]:
        self._check()
        if getattr(self, what):
            raise trio.BusyResourceError("another task is doing that already")
        if open_only and self._outgoing.finished:
            raise trio.ClosedResourceError("the end was sent already")
        setattr(self, what, True)
        try:
            yield
        finally:
            setattr(self, what, False)


@attrs.define(eq=False)
class Line:
    """A connection of two services in memory.

    Attributes:
        caller: Where it was called from.
        port: The port that was called.
    """

    caller: IPAddress
    port: int
    _pipes: tuple[_Pipe, _Pipe]

    def cut(self) -> None:
        """Break it: both ends notice at once, and what was under way is lost."""
        for pipe in self._pipes:
            pipe.broken = True
            pipe.change()

    def freeze(self) -> None:
        """Let everything vanish that is sent from now on: neither end notices."""
        for pipe in self._pipes:
            pipe.swallows = True
            pipe.change()

    @property
    def live(self) -> bool:
        """Whether both ends are open and it is not cut."""
        return not any(pipe.broken or pipe.finished or pipe.abandoned for pipe in self._pipes)


@attrs.define(eq=False)
class _World:
    listeners: dict[int, "MemoryListener"] = attrs.field(factory=dict)
    lines: list[Line] = attrs.field(factory=list)
    blocked: set[int] = attrs.field(factory=set)


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Where a service listens in memory.

    Attributes:
        port: Its port.
    """

    def __init__(self, port: int, world: _World) -> None:
        self.port = port
        self._world = world
        self._arriving, self._arrived = trio.open_memory_channel[MemoryStream](BACKLOG)

    async def accept(self) -> trio.abc.Stream:
        """Wait for a caller."""
        return await self._arrived.receive()

    def arrive(self, stream: MemoryStream) -> None:
        """Let a caller wait to be accepted.

        Raises:
            trio.WouldBlock: Too many wait already.
        """
        self._arriving.send_nowait(stream)

    async def aclose(self) -> None:
        """Listen no more; who waits to be accepted is hung up on."""
        if self._world.listeners.get(self.port) is self:
            del self._world.listeners[self.port]
        with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            while True:
                await trio.aclose_forcefully(self._arrived.receive_nowait())
        self._arrived.close()
        await trio.lowlevel.checkpoint()


class MemoryNetwork:
    """A network in one process: give the same one, or a view of it (`at`), to several services.

    Ports are unique in it. Of the host in a url only the port counts, so any name will do.

    Args:
        address: Where those who call through this object seem to call from.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._address = parse_address(address)
        self._world = _World()

    def at(self, address: str) -> MemoryNetwork:
        """Return a view of the same network for a service that calls from another address."""
        view = MemoryNetwork(address)
        view._world = self._world
        return view

    @property
    def lines(self) -> tuple[Line, ...]:
        """The live lines, oldest first."""
        self._world.lines = [line for line in self._world.lines if line.live]
        return tuple(self._world.lines)

    def cut(self, port: int | None = None) -> int:
        """Cut all lines, or those to one port; gives their number."""
        lines = [line for line in self.lines if port in {None, line.port}]
        for line in lines:
            line.cut()
        return len(lines)

    def freeze(self, port: int | None = None) -> int:
        """Make all lines half dead, or those to one port; gives their number."""
        lines = [line for line in self.lines if port in {None, line.port}]
        for line in lines:
            line.freeze()
        return len(lines)

    def block(self, port: int) -> None:
        """Refuse new calls to a port; lines that are open stay."""
        self._world.blocked.add(port)

    def unblock(self, port: int) -> None:
        """Let calls to a port through again."""
        self._world.blocked.discard(port)

    async def listen(self, ip: IPAddress, port: int) -> Sequence[MemoryListener]:
        """Listen on a port; 0 takes a free one."""
        world = self._world
        await trio.lowlevel.checkpoint()
        if port == 0:
            port = next(free for free in itertools.count(FIRST_FREE_PORT) if free not in world.listeners)
        elif port in world.listeners:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        listener = world.listeners[port] = MemoryListener(port, world)
        return [listener]

    def port_of(self, listener: trio.abc.Listener[trio.abc.Stream]) -> int:
        """Return the port of a listener of this network."""
        if not isinstance(listener, MemoryListener):
            raise TypeError(f"{listener!r} is not a listener of this network")
        return listener.port

    def address_of(self, stream: trio.abc.Stream) -> IPAddress:
        """Return the address from which an accepted stream was called."""
        if not isinstance(stream, MemoryStream):
            raise TypeError(f"{stream!r} is not a stream of this network")
        return stream.caller

    async def connect(self, host: str, port: int, *, tls: bool) -> MemoryStream:
        """Call a port. There is no TLS in memory: `wss` is ignored."""
        await trio.lowlevel.checkpoint()
        world = self._world
        listener = world.listeners.get(port)
        if listener is None or port in world.blocked:
            raise OSError(errno.ECONNREFUSED, "Connection refused")
        there, back = _Pipe(PIPE_BYTES), _Pipe(PIPE_BYTES)
        try:
            listener.arrive(MemoryStream(back, there, self._address))
        except trio.WouldBlock:
            raise OSError(errno.ETIMEDOUT, "Connection timed out") from None
        world.lines = [line for line in world.lines if line.live]
        world.lines.append(Line(self._address, port, (there, back)))
        return MemoryStream(there, back, self._address)
